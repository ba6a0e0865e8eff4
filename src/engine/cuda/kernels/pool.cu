// Pooling, means over pixels, and shifts.
#include "gpu.h"

// Planes are groups times channels of one network; `height` and `width` are the input's.
struct Pooling {
  size_t x, y, gradient, dx;
  int channels, height, width, onto;
};

// Input rows (or columns) that output `i` is the maximum of: from `begin` to before `end`.
struct Window {
  int begin, end;
};
DEVICE Window window(int i, int size) {
  Window w;
  w.begin = max(2 * i - 1, 0);
  w.end = min(2 * i + 2, size);
  return w;
}

// The maximum over 3 x 3 at step 2; beyond the border there is nothing.
KERNEL(max_pool, Pooling) {
  Network at = network(networks);
  const int height = (c.height + 1) / 2, width = (c.width + 1) / 2;
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= (size_t)c.channels * height * width * LANES) return;
  const int lane = i % LANES, column = i / LANES % width, row = i / LANES / width % height;
  const size_t plane = (size_t)at.group * c.channels + i / LANES / width / height;
  const float *x = at.memory + c.x + plane * c.height * c.width * LANES + lane;
  const Window rows = window(row, c.height), columns = window(column, c.width);
  float most = x[((size_t)rows.begin * c.width + columns.begin) * LANES];
  for (int r = rows.begin; r < rows.end; r++)
    for (int k = columns.begin; k < columns.end; k++) {
      float value = x[((size_t)r * c.width + k) * LANES];
      if (value > most || value != value) most = value;
    }
  at.memory[c.y + ((plane * height + row) * width + column) * LANES + lane] = most;
}

// Every input pixel collects the gradients of the windows of which it is the first maximum.
KERNEL(max_pool_gradient, Pooling) {
  Network at = network(networks);
  const int height = (c.height + 1) / 2, width = (c.width + 1) / 2;
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= (size_t)c.channels * c.height * c.width * LANES) return;
  const int lane = i % LANES, column = i / LANES % c.width, row = i / LANES / c.width % c.height;
  const size_t plane = (size_t)at.group * c.channels + i / LANES / c.width / c.height;
  const float *x = at.memory + c.x + plane * c.height * c.width * LANES + lane;
  const float *dy = at.memory + c.gradient + plane * height * width * LANES + lane;
  float sum = 0.f;
  for (int r = row / 2; r <= (row + 1) / 2 && r < height; r++)
    for (int k = column / 2; k <= (column + 1) / 2 && k < width; k++) {
      const Window rows = window(r, c.height), columns = window(k, c.width);
      int first_row = rows.begin, first_column = columns.begin;
      float most = x[((size_t)first_row * c.width + first_column) * LANES];
      for (int a = rows.begin; a < rows.end; a++)
        for (int b = columns.begin; b < columns.end; b++) {
          float value = x[((size_t)a * c.width + b) * LANES];
          if (value > most) most = value, first_row = a, first_column = b;
        }
      if (first_row == row && first_column == column) sum += dy[((size_t)r * width + k) * LANES];
    }
  put(at.memory + c.dx + plane * c.height * c.width * LANES + ((size_t)row * c.width + column) * LANES + lane, sum, c.onto);
}

// The mean over squares of 2 x 2.
KERNEL(mean_pool, Pooling) {
  Network at = network(networks);
  const int height = c.height / 2, width = c.width / 2;
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= (size_t)c.channels * height * width * LANES) return;
  const int lane = i % LANES, column = i / LANES % width, row = i / LANES / width % height;
  const size_t plane = (size_t)at.group * c.channels + i / LANES / width / height;
  const float *x = at.memory + c.x + ((plane * c.height + 2 * row) * c.width + 2 * column) * LANES + lane;
  const size_t below = (size_t)c.width * LANES;
  float sum = (x[0] + x[LANES]) + (x[below] + x[below + LANES]);
  at.memory[c.y + ((plane * height + row) * width + column) * LANES + lane] = 0.25f * sum;
}
KERNEL(mean_pool_gradient, Pooling) {
  Network at = network(networks);
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= (size_t)c.channels * c.height * c.width * LANES) return;
  const int lane = i % LANES, column = i / LANES % c.width, row = i / LANES / c.width % c.height;
  const size_t plane = (size_t)at.group * c.channels + i / LANES / c.width / c.height;
  float dy = at.memory[c.gradient + ((plane * (c.height / 2) + row / 2) * (c.width / 2) + column / 2) * LANES + lane];
  put(at.memory + c.dx + (size_t)at.group * c.channels * c.height * c.width * LANES + i, 0.25f * dy, c.onto);
}

// `factor` times the sum over the pixels of each plane and sample, a block of 256 threads each.
struct PlaneSums {
  size_t from, to;
  int channels, pixels;
  float factor;
  int onto;
};
KERNEL(plane_sums, PlaneSums) {
  SHARED
  Network at = network(networks);
  if (!at.in_use) return;
  const size_t plane = (size_t)at.group * c.channels + blockIdx.x;
  const int lane = threadIdx.x % LANES;
  const float *from = at.memory + c.from + plane * c.pixels * LANES;
  float sum = 0.f;
  for (int i = threadIdx.x / LANES; i < c.pixels; i += blockDim.x / LANES) sum += from[(size_t)i * LANES + lane];
  shared[threadIdx.x] = sum;
  for (int half = blockDim.x / LANES / 2; half > 0; half /= 2) {
    __syncthreads();
    if ((int)threadIdx.x < half * LANES) shared[threadIdx.x] += shared[threadIdx.x + half * LANES];
  }
  if (threadIdx.x < LANES) put(at.memory + c.to + plane * LANES + lane, c.factor * shared[lane], c.onto);
}
// The gradient of that: `factor` times a plane's number at every pixel.
KERNEL(plane_spread, PlaneSums) {
  Network at = network(networks);
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= (size_t)c.channels * c.pixels * LANES) return;
  const size_t plane = (size_t)at.group * c.channels + i / LANES / c.pixels;
  float value = c.factor * at.memory[c.from + plane * LANES + i % LANES];
  put(at.memory + c.to + (size_t)at.group * c.channels * c.pixels * LANES + i, value, c.onto);
}

// y = act(x + by), `by` one number for each plane and sample.
struct Shift {
  size_t x, by, y;
  int channels, pixels, relu, unused;
};
KERNEL(shift, Shift) {
  Network at = network(networks);
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= (size_t)c.channels * c.pixels * LANES) return;
  const size_t plane = (size_t)at.group * c.channels + i / LANES / c.pixels;
  const size_t place = (size_t)at.group * c.channels * c.pixels * LANES + i;
  float y = at.memory[c.x + place] + at.memory[c.by + plane * LANES + i % LANES];
  if (c.relu && !(y > 0.f)) y = y != y ? y : 0.f;
  at.memory[c.y + place] = y;
}
