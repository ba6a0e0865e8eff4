// The blocks and threads of a kernel on one thread of a processor.
#include "emulated.h"
#include "fibers.h"
#include <cstdio>
#include <cstdlib>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulated {
Thread *self;
Index block, grid, threads;
// Not freed when the process ends: another thread may be using the card then.
static std::vector<float> &memory = *new std::vector<float>;
float *shared_memory() { return memory.data(); }

// A small generator: reproducible, and fast enough to be asked for every copy.
static uint64_t dice = 1;
static unsigned roll() {
  dice ^= dice << 13;
  dice ^= dice >> 7;
  dice ^= dice << 17;
  return dice >> 32;
}
bool chance() { return roll() & 1; }

constexpr size_t STACK = 128 << 10;
enum class What { Ready, AtBarrier, AtWarp, Done };
struct Fiber : Thread {
#if defined(__x86_64__)
  void *stack_pointer;
#else
  ucontext_t context;
#endif
  char *stack;
};
static std::vector<Fiber> &fibers = *new std::vector<Fiber>;
constexpr unsigned MOST = 1024;
// What each thread waits for.
static What what[MOST];
// The operands of a warp's product, and how many lanes have brought theirs.
struct Warp {
  unsigned arrived;
  float *c[32];
  unsigned a[32][4], b[32][2];
};
static Warp warps[MOST / 32];
static void (*body)(void **);
static void **arguments;
static void enter() {
  body(arguments);
  what[self->index.x] = What::Done;
  for (;;) leave();
}

#if defined(__x86_64__)
// Saves what a call must keep, and goes on where another stack was left.
extern "C" void emulated_switch(void **from, void *to);
asm(".text\n.globl emulated_switch\nemulated_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");
static void *scheduler;
void leave() { emulated_switch(&static_cast<Fiber *>(self)->stack_pointer, scheduler); }
static void go(Fiber &fiber) {
  self = &fiber;
  emulated_switch(&scheduler, fiber.stack_pointer);
}
static void prepare(Fiber &fiber) {
  // Six registers, where to go, and a return address that is never used: the stack is aligned as
  // behind a call.
  void **top = reinterpret_cast<void **>(fiber.stack + STACK) - 2;
  top[0] = reinterpret_cast<void *>(enter);
  top[1] = nullptr;
  fiber.stack_pointer = top - 6;
}
#else
static ucontext_t scheduler;
void leave() { swapcontext(&static_cast<Fiber *>(self)->context, &scheduler); }
static void go(Fiber &fiber) {
  self = &fiber;
  swapcontext(&scheduler, &fiber.context);
}
static void prepare(Fiber &fiber) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = STACK;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, enter, 0);
}
#endif

void barrier() {
  what[self->index.x] = What::AtBarrier;
  leave();
}

// The last lane of a warp to arrive multiplies for all.
void multiply(float *c, const unsigned *a, const unsigned *b) {
  const unsigned me = self->index.x;
  Warp &warp = warps[me / 32];
  warp.c[me % 32] = c;
  std::copy(a, a + 4, warp.a[me % 32]);
  std::copy(b, b + 2, warp.b[me % 32]);
  what[me] = What::AtWarp;
  if (++warp.arrived < 32) return leave();
  warp.arrived = 0;
  double rows[16][8], columns[8][8];
  unsigned any_row = 0, any_column = 0;
  for (int i = 0; i < 32; i++) {
    for (int j = 0; j < 4; j++) {
      rows[i / 4 + j % 2 * 8][i % 4 + j / 2 * 4] = as_float(warp.a[i][j]);
      any_row |= warp.a[i][j] << 1;
    }
    for (int j = 0; j < 2; j++) {
      columns[i % 4 + j * 4][i / 4] = as_float(warp.b[i][j]);
      any_column |= warp.b[i][j] << 1;
    }
  }
  // Beyond the channels there are zeros only, which change no sum.
  for (int m = 0; m < 16 && any_row && any_column; m++) {
    double sums[8] = {};
    for (int k = 0; k < 8; k++)
      for (int n = 0; n < 8; n++) sums[n] += rows[m][k] * columns[k][n];
    for (int n = 0; n < 8; n++) {
      float &to = warp.c[m % 8 * 4 + n / 2][m / 8 * 2 + n % 2];
      double exact = (double)to + sums[n];
      // Tensor cores cut what single precision cannot hold, they do not round it.
      uint64_t bits;
      std::memcpy(&bits, &exact, 8);
      bits &= ~((1ull << 29) - 1);
      std::memcpy(&exact, &bits, 8);
      to = (float)exact;
    }
  }
  std::fill_n(what + me / 32 * 32, 32, What::Ready);
}

// Runs the threads of one block to their end.
static void run_block(unsigned count) {
  unsigned number = (count + 31) / 32, order[32];
  for (;;) {
    // Some warps run ahead until a barrier holds them, others go on by a little.
    bool ran = false;
    for (unsigned w = 0; w < number; w++) order[w] = w;
    for (unsigned w = number; w > 1; w--) std::swap(order[w - 1], order[roll() % w]);
    for (unsigned w = 0; w < number; w++) {
      unsigned first = order[w] * 32, last = min(count, first + 32), dice = roll();
      bool ahead = dice & 1, backwards = dice & 2, moved;
      do {
        moved = false;
        for (unsigned i = 0; i < last - first; i++) {
          unsigned thread = backwards ? last - 1 - i : first + i;
          if (what[thread] != What::Ready) continue;
          go(fibers[thread]);
          ran = moved = true;
        }
      } while (ahead && moved);
    }
    unsigned done = 0, waiting = 0;
    for (unsigned i = 0; i < count; i++) {
      done += what[i] == What::Done;
      waiting += what[i] == What::AtBarrier;
    }
    if (done == count) return;
    if (ran) continue;
    if (waiting == 0 || waiting + done != count) {
      fprintf(stderr, "a barrier or a product that not every thread reaches\n");
      abort();
    }
    for (unsigned i = 0; i < count; i++)
      if (what[i] == What::AtBarrier) what[i] = What::Ready;
  }
}

void run(void (*kernel)(void **), void **with, Index blocks, unsigned count, size_t bytes, unsigned seed) {
  dice = seed * 0x9e3779b97f4a7c15ull + 1;
  body = kernel;
  arguments = with;
  grid = blocks;
  threads = {count, 1, 1};
  if (count > MOST) {
    fprintf(stderr, "%u threads in a block\n", count);
    abort();
  }
  while (fibers.size() < count) {
    fibers.emplace_back();
    fibers.back().stack = static_cast<char *>(aligned_alloc(64, STACK));
  }
  const uint64_t all = (uint64_t)blocks.x * blocks.y * blocks.z;
  // Every block once, in an order that a device might have.
  uint64_t step = all / 2 + roll() % (all / 2 + 1) + 1;
  while (std::__gcd(step, all) != 1) step++;
  uint64_t number = roll() % all;
  for (uint64_t i = 0; i < all; i++, number = (number + step) % all) {
    block = {(unsigned)(number % blocks.x), (unsigned)(number / blocks.x % blocks.y), (unsigned)(number / blocks.x / blocks.y)};
    // A card's NaN, which is another than the processor's.
    memory.assign(bytes / 4 + 4, as_float(0x7fffffff));
    for (unsigned j = 0; j < count; j++) {
      fibers[j].index = {j, 0, 0};
      what[j] = What::Ready;
      fibers[j].groups.clear();
      fibers[j].open.clear();
      prepare(fibers[j]);
    }
    run_block(count);
  }
}
} // namespace emulated
