// Gradients of weights on tensor cores: products of an input and an output's gradient, summed over
// pixels and samples.
//
// A block takes 32 input channels by 32 output channels for some rows of pixels; what the rows of
// blocks give is summed afterwards in a fixed order (sums.cu). The samples are the reduced
// dimension of a tensor core's tile. How rows are split follows from the shape alone.
#include "gpu.h"

// The input: values [groups][channels][height][width][16]. Where `up` is 1, its pixels are read as
// squares of 2 x 2. `tiles` counts its tiles of 32 channels, `before` the channels of the sources
// before it.
struct Factor {
  size_t values;
  int channels, height, width, up, tiles, before;
};

struct Products {
  Factor sources[2];
  // The output's gradient, and where the sums of every split go: [splits][channels][inputs][taps].
  size_t gradient, sums;
  int channels, height, width, groups, step;
  int rows, columns, above, left;
  // Rows of taps that other blocks take, and taps of the weight.
  int tap_blocks, taps, inputs;
  int splits, rows_each;
  int patch_stride, gradient_stride;
};
static_assert(sizeof(Products) == 144, "as in launch.rs");

constexpr int TILE = 32;
constexpr int PIXELS = 4;

// ROWS x COLUMNS: the taps that a block takes.
template <int ROWS, int COLUMNS, int TERMS>
DEVICE void products(const Networks &networks, const Products &c) {
  constexpr int TAPS = ROWS * COLUMNS;
  SHARED
  Network at = network(networks);
  if (!at.in_use) return;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int g = lane / 4, t = lane % 4;
  const int number = blockIdx.x, tap_row = blockIdx.y % c.tap_blocks * ROWS;
  const int tile = blockIdx.y / c.tap_blocks % (c.sources[0].tiles + c.sources[1].tiles);
  const int out0 = blockIdx.y / c.tap_blocks / (c.sources[0].tiles + c.sources[1].tiles) * TILE;
  const Factor &s = c.sources[tile >= c.sources[0].tiles];
  const int in0 = (tile >= c.sources[0].tiles ? tile - c.sources[0].tiles : tile) * TILE;
  const int ci0 = warp % 2 * 16, co0 = warp / 2 * 16;
  const int across = (PIXELS - 1) * c.step + COLUMNS;
  const int high_side = s.height << s.up, wide_side = s.width << s.up;
  const size_t plane = (size_t)s.height * s.width * LANES, out_plane = (size_t)c.height * c.width * LANES;
  float *patch = shared, *gradient = shared + TILE * c.patch_stride;

  // Whether this warp has channels of both sides, and of the second eight outputs.
  const bool busy = in0 + ci0 < s.channels && out0 + co0 < c.channels;
  const bool both = out0 + co0 + 8 < c.channels;
  float sums[TAPS][2][4] = {};
  const int last = min((number + 1) * c.rows_each, c.groups * c.height);
  for (int line = number * c.rows_each; line < last; line++) {
    const int group = line / c.height, row = line % c.height;
    const float *from = at.memory + s.values + (size_t)group * s.channels * plane;
    const float *dy = at.memory + c.gradient + (size_t)group * c.channels * out_plane;
    for (int column = 0; column < c.width; column += PIXELS) {
      __syncthreads();
      for (int i = threadIdx.x; i < TILE * ROWS * across * 4; i += 128) {
        int quarter = i % 4, p = i / 4 % across, r = i / 4 / across % ROWS, channel = i / 4 / across / ROWS;
        int y = row * c.step + tap_row + r - c.above, x = column * c.step + p - c.left;
        bool there = y >= 0 && y < high_side && x >= 0 && x < wide_side && in0 + channel < s.channels;
        size_t offset =
            there ? (in0 + channel) * plane + ((size_t)(y >> s.up) * s.width + (x >> s.up)) * LANES + quarter * 4 : 0;
        copy16(patch + channel * c.patch_stride + (r * across + p) * LANES + quarter * 4, from + offset, there);
      }
      for (int i = threadIdx.x; i < TILE * PIXELS * 4; i += 128) {
        int quarter = i % 4, p = i / 4 % PIXELS, channel = i / 4 / PIXELS;
        bool there = column + p < c.width && out0 + channel < c.channels;
        size_t offset =
            there ? (out0 + channel) * out_plane + ((size_t)row * c.width + column + p) * LANES + quarter * 4 : 0;
        copy16(gradient + channel * c.gradient_stride + p * LANES + quarter * 4, dy + offset, there);
      }
      copies_end();
      copies_wait<0>();
      __syncthreads();
      if (!busy) continue;
      float part[TAPS][2][4] = {};
#pragma unroll
      for (int p = 0; p < PIXELS; p++) {
        if (column + p >= c.width) break;
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const int sample = half * 8 + t;
          unsigned bh[2][2], bl[2][2];
#pragma unroll
          for (int n = 0; n < 2; n++)
#pragma unroll
            for (int k = 0; k < 2; k++)
              split<TERMS>(gradient[(co0 + n * 8 + g) * c.gradient_stride + p * LANES + sample + k * 4], bh[n][k], bl[n][k]);
#pragma unroll
          for (int tap = 0; tap < TAPS; tap++) {
            unsigned ah[4], al[4];
#pragma unroll
            for (int k = 0; k < 4; k++)
              // Rows are input channels, g and g + 8; columns are samples, t and t + 4.
              split<TERMS>(patch[(ci0 + g + k % 2 * 8) * c.patch_stride + (tap / COLUMNS * across + p * c.step + tap % COLUMNS) * LANES + sample + k / 2 * 4],
                           ah[k], al[k]);
#pragma unroll
            for (int n = 0; n < 2; n++) {
              if (n == 1 && !both) break;
              float(&sum)[4] = TERMS == 3 ? part[tap][n] : sums[tap][n];
              if (TERMS == 3) {
                mma(sum, al, bh[n]);
                mma(sum, ah, bl[n]);
              }
              mma(sum, ah, bh[n]);
            }
          }
        }
      }
      // As in correlate.cu: few products are added by tensor cores.
      if (TERMS == 3)
#pragma unroll
        for (int tap = 0; tap < TAPS; tap++)
#pragma unroll
          for (int n = 0; n < 2; n++)
#pragma unroll
            for (int k = 0; k < 4; k++) sums[tap][n][k] += part[tap][n][k];
    }
  }
  float *to = at.memory + c.sums + (size_t)number * c.channels * c.inputs * c.taps;
#pragma unroll
  for (int tap = 0; tap < TAPS; tap++)
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
      for (int k = 0; k < 4; k++) {
        int in = in0 + ci0 + g + k / 2 * 8, out = out0 + co0 + n * 8 + t * 2 + k % 2;
        if (in >= s.channels || out >= c.channels) continue;
        to[((size_t)out * c.inputs + s.before + in) * c.taps + tap_row * COLUMNS + tap] = sums[tap][n][k];
      }
}

#define PRODUCTS(name, rows, columns)                                                                \
  KERNEL(products_##name##_f32, Products) { products<rows, columns, 3>(networks, c); } \
  KERNEL(products_##name##_tf32, Products) { products<rows, columns, 1>(networks, c); }
PRODUCTS(3x3, 3, 3)
PRODUCTS(1x1, 1, 1)
PRODUCTS(7, 1, 7)
