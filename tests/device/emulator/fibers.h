// How a kernel is run.
#pragma once
#include "emulated.h"
namespace emulated {
// Runs a kernel with its arguments: blocks one after the other, in an order by the seed.
void run(void (*kernel)(void **), void **arguments, Index blocks, unsigned threads, size_t shared, unsigned seed);
// Hands over to the other threads of the block.
void leave();
} // namespace emulated
