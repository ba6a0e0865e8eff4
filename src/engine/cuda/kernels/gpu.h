// What kernels use beside plain C++. Under NVRTC these are the device's own instructions. Under any
// other compiler `emulated.h` of the emulated driver has the same names for a processor.
#pragma once
#ifdef __CUDACC__
#define DEVICE __device__ __forceinline__
#define SHARED extern __shared__ __align__(16) float shared[];

// Sixteen bytes from global to shared memory, asynchronously; zeros where there is nothing.
DEVICE void copy16(float *to, const float *from, bool there) {
  unsigned address = (unsigned)__cvta_generic_to_shared(to);
  int bytes = there ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(address), "l"(from), "r"(bytes));
}
// Ends a group of copies.
DEVICE void copies_end() { asm volatile("cp.async.commit_group;\n"); }
// Waits until no more than LEFT groups of this thread's copies are under way.
template <int LEFT> DEVICE void copies_wait() { asm volatile("cp.async.wait_group %0;\n" ::"n"(LEFT)); }

DEVICE float as_float(unsigned x) { return __uint_as_float(x); }
DEVICE unsigned as_bits(float x) { return __float_as_uint(x); }

// c[16 x 8] += a[16 x 8] b[8 x 8], the fragments spread over a warp.
DEVICE void mma(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else
#include "emulated.h"
#endif

// Ten bits of mantissa, half away from zero. What is not a number stays so: a card's NaN has all
// bits set, and would become zero.
DEVICE unsigned tf32(float x) { return x != x ? as_bits(x) : (as_bits(x) + 0x1000u) & 0xffffe000u; }

// Samples of a group: the innermost dimension of activations, [groups][channels][pixels][16].
constexpr int LANES = 16;

// An offset that stands for nothing.
constexpr size_t NOTHING = ~(size_t)0;

// The networks of a launch. Each has memory of its own, and a part of the feed, `feed_stride` floats
// long. The feed begins with the addresses of the networks' memory, in FEED_HEAD floats; where there
// is no network, the address is 0. blockIdx.z counts networks times groups.
struct Networks {
  const float *feed;
  const unsigned long long *constants;
  size_t feed_stride;
  int groups, unused;
};
constexpr int FEED_HEAD = 128;

// A kernel takes the networks and the operands of one operation, `c`.
#ifdef __CUDACC__
#define KERNEL(name, Operands) extern "C" __global__ void name(Networks networks, Operands c)
#else
#define KERNEL(name, Operands)                                                                       \
  static void name(Networks networks, Operands c);                                                   \
  static emulated::Kernel name##_kernel(#name, sizeof(Operands), [](void **arguments) {              \
    name(*static_cast<Networks *>(arguments[0]), *static_cast<Operands *>(arguments[1]));            \
  });                                                                                                \
  static void name(Networks networks, Operands c)
#endif

// One network of a launch, and its group of samples.
struct Network {
  float *memory;
  const float *feed;
  int group;
  bool in_use;
};

DEVICE Network network(const Networks &all) {
  int number = blockIdx.z / all.groups;
  Network one;
  one.memory = ((float *const *)all.feed)[number];
  one.in_use = one.memory != nullptr;
  one.feed = all.feed + FEED_HEAD + (size_t)number * all.feed_stride;
  one.group = blockIdx.z % all.groups;
  return one;
}

// Writes a number, or adds it.
DEVICE void put(float *to, float value, int onto) { *to = onto ? *to + value : value; }

// The two parts of a factor of a tensor core; without the low one where a term is enough.
template <int TERMS> DEVICE void split(float value, unsigned &high, unsigned &low) {
  high = tf32(value);
  if (TERMS == 3) low = tf32(value - as_float(high));
}

// Planes are summed in pieces of PIECE pixels, by blocks of ROWS x LANES threads.
constexpr int PIECE = 512;
constexpr int THREADS = 256;
constexpr int ROWS = THREADS / LANES;

// The sum over a block's threads of one lane, for every thread.
DEVICE float lane_sum(float *shared, float value) {
  __syncthreads();
  shared[threadIdx.x] = value;
  for (int half = ROWS / 2; half > 0; half /= 2) {
    __syncthreads();
    if ((int)threadIdx.x < half * LANES) shared[threadIdx.x] += shared[threadIdx.x + half * LANES];
  }
  __syncthreads();
  return shared[threadIdx.x % LANES];
}
