// The names of gpu.h for a processor: the threads of a block are fibers of one thread.
//
// A barrier hands over to the next fiber. Memory is NaN until something is written. Asynchronous
// copies happen at once or as late as they may, and warps run ahead or lag, by a seed: what lacks a
// barrier or a wait gives wrong numbers.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>
#define DEVICE static inline
#define SHARED float *shared = emulated::shared_memory();
using std::max;
using std::min;

struct Index {
  unsigned x, y, z;
};

namespace emulated {
struct Copy {
  float *to;
  const float *from;
  bool there;
};
struct Thread {
  Index index;
  std::vector<std::vector<Copy>> groups;
  std::vector<Copy> open;
};
extern Thread *self;
extern Index block, grid, threads;
// A kernel that the driver knows by its name.
struct Kernel {
  const char *name;
  size_t operands;
  void (*call)(void **);
  Kernel(const char *name, size_t operands, void (*call)(void **));
};
float *shared_memory();
bool chance();
void barrier();
void multiply(float *c, const unsigned *a, const unsigned *b);
inline void perform(const Copy &copy) {
  for (int i = 0; i < 4; i++) copy.to[i] = copy.there ? copy.from[i] : 0.f;
}
} // namespace emulated

#define threadIdx (emulated::self->index)
#define blockIdx (emulated::block)
#define gridDim (emulated::grid)
#define blockDim (emulated::threads)
static inline void __syncthreads() { emulated::barrier(); }
static inline void copy16(float *to, const float *from, bool there) {
  emulated::Copy copy{to, from, there};
  if (emulated::chance())
    emulated::perform(copy);
  else
    emulated::self->open.push_back(copy);
}
static inline void copies_end() {
  emulated::self->groups.push_back(std::move(emulated::self->open));
  emulated::self->open.clear();
}
template <int LEFT> static inline void copies_wait() {
  auto &groups = emulated::self->groups;
  while (groups.size() > LEFT) {
    for (auto &copy : groups.front()) emulated::perform(copy);
    groups.erase(groups.begin());
  }
}
static inline float as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
static inline unsigned as_bits(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
static inline void mma(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  emulated::multiply(c, a, b);
}
