// Correlations of images with small kernels on tensor cores: every convolution, the gradients of
// their inputs, and the decoder's joint of two sources.
//
// A pixel's sixteen samples are the sixteen rows of a tensor core's tile. A block computes eight
// pixels of a row by COUT channels, with 2 x 2 warps. TERMS 1: factors in TF32. TERMS 3: each factor
// in two parts, which gives single precision.
#include "gpu.h"

// The taps that one class of output pixels reads: row r of them lies at input row
// `row * step + r - above`, and has the weights `first + r * down + c * across`.
struct Taps {
  int rows, columns, above, left, first, down, across, unused;
};

// What is correlated: values [groups][channels][height][width][16], weights
// [channels][taps][padded output channels].
struct Source {
  size_t values, weights;
  int channels, height, width, step, taps, unused;
  Taps of_class[4];
};

// Output pixels of a class lie `spread` apart; with four classes they begin at (0, 0), (0, 1),
// (1, 0) and (1, 1). `height` and `width` count the pixels of a class.
struct Correlation {
  Source sources[2];
  size_t output, bias;
  int count, classes, spread, height, width, channels, padded_channels;
  int full_height, full_width, relu, onto;
  // Floats of a channel's patch and of its weights in shared memory, and buffers of both.
  int patch_stride, weight_stride, stages;
  // Where the moments of each block's pixels go (norm.cu): [groups][channels][blockIdx.x][2][16].
  size_t moments;
};
static_assert(sizeof(Correlation) == 416, "as in launch.rs");

constexpr int CHUNK = 8;
constexpr int PIXELS = 8;

template <int TERMS>
DEVICE void multiply(float (&sum)[4], const unsigned (&ah)[4], const unsigned (&al)[4],
                     const unsigned (&bh)[2], const unsigned (&bl)[2]) {
  if (TERMS == 3) {
    mma(sum, al, bh);
    mma(sum, ah, bl);
  }
  mma(sum, ah, bh);
}

// DENSE: all taps are 3 x 3 at step 1, so that columns share their fragments.
template <int NT, int TERMS, bool DENSE>
DEVICE void correlate(const Networks &networks, const Correlation &c) {
  constexpr int PX = 4, COUT = 2 * NT * 8;
  SHARED
  Network at = network(networks);
  if (!at.in_use) return;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int g = lane / 4, t = lane % 4;
  const int segments = (c.width + PIXELS - 1) / PIXELS;
  const int segment = blockIdx.x % segments, row = blockIdx.x / segments % c.height;
  const int kind = blockIdx.x / segments / c.height;
  const int column = segment * PIXELS, first = blockIdx.y * COUT;
  const int px0 = warp % 2 * PX, co0 = warp / 2 * NT * 8;
  const int chunks0 = (c.sources[0].channels + CHUNK - 1) / CHUNK;
  const int chunks1 = c.count > 1 ? (c.sources[1].channels + CHUNK - 1) / CHUNK : 0;
  const int chunks = chunks0 + chunks1;
  const int stage_floats = CHUNK * (c.patch_stride + c.weight_stride);
  // Whether this warp has pixels and channels at all.
  const bool busy = column + px0 < c.width && first + co0 < c.channels;

  auto load = [&](int chunk) {
    const Source &s = c.sources[chunk >= chunks0];
    const Taps &taps = s.of_class[kind];
    const int channel0 = (chunk >= chunks0 ? chunk - chunks0 : chunk) * CHUNK;
    float *patch = shared + chunk % c.stages * stage_floats;
    float *weights = patch + CHUNK * c.patch_stride;
    const int across = (PIXELS - 1) * s.step + taps.columns;
    const size_t plane = (size_t)s.height * s.width * LANES;
    const float *from = at.memory + s.values + (size_t)at.group * s.channels * plane;
    for (int i = threadIdx.x; i < CHUNK * taps.rows * across * 4; i += 128) {
      int quarter = i % 4, p = i / 4 % across, r = i / 4 / across % taps.rows;
      int channel = i / 4 / across / taps.rows;
      int y = row * s.step + r - taps.above, x = column * s.step + p - taps.left;
      bool there = y >= 0 && y < s.height && x >= 0 && x < s.width && channel0 + channel < s.channels;
      size_t offset = there ? (channel0 + channel) * plane + ((size_t)y * s.width + x) * LANES : 0;
      copy16(patch + channel * c.patch_stride + (r * across + p) * LANES + quarter * 4,
             from + offset + (there ? quarter * 4 : 0), there);
    }
    const float *w = at.memory + s.weights;
    for (int i = threadIdx.x; i < CHUNK * taps.rows * taps.columns * (COUT / 4); i += 128) {
      int q = i % (COUT / 4), tap = i / (COUT / 4) % (taps.rows * taps.columns);
      int channel = i / (COUT / 4) / (taps.rows * taps.columns);
      int which = taps.first + tap / taps.columns * taps.down + tap % taps.columns * taps.across;
      bool there = channel0 + channel < s.channels && first + q * 4 < c.padded_channels;
      size_t offset = ((size_t)(channel0 + channel) * s.taps + which) * c.padded_channels + first + q * 4;
      copy16(weights + channel * c.weight_stride + tap * COUT + q * 4, w + (there ? offset : 0), there);
    }
    copies_end();
  };

  float sums[PX][NT][4] = {};
  load(0);
  for (int chunk = 0; chunk < chunks; chunk++) {
    bool ahead = c.stages == 2 && chunk + 1 < chunks;
    if (ahead) {
      load(chunk + 1);
      copies_wait<1>();
    } else {
      copies_wait<0>();
    }
    __syncthreads();
    const Source &s = c.sources[chunk >= chunks0];
    const float *patch = shared + chunk % c.stages * stage_floats;
    const float *weights = patch + CHUNK * c.patch_stride;
    // A tensor core cuts its sums instead of rounding them: in single precision few products are
    // added there, and the rest here.
    float part[PX][NT][4] = {};
    auto collect = [&]() {
#pragma unroll
      for (int p = 0; p < PX && TERMS == 3; p++)
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
          for (int k = 0; k < 4; k++) {
            sums[p][n][k] += part[p][n][k];
            part[p][n][k] = 0.f;
          }
    };
    auto weight = [&](int tap, int n, unsigned (&high)[2], unsigned (&low)[2]) {
#pragma unroll
      for (int k = 0; k < 2; k++)
        split<TERMS>(weights[(t + k * 4) * c.weight_stride + tap * COUT + co0 + n * 8 + g], high[k], low[k]);
    };
    if (!busy) {
    } else if (DENSE) {
      constexpr int ACROSS = PIXELS + 2;
#pragma unroll
      for (int r = 0; r < 3; r++) {
        unsigned high[PX + 2][4], low[PX + 2][4];
#pragma unroll
        for (int p = 0; p < PX + 2; p++)
#pragma unroll
          for (int k = 0; k < 4; k++)
            // Rows are samples, g and g + 8; columns are channels, t and t + 4.
            split<TERMS>(patch[(t + k / 2 * 4) * c.patch_stride + (r * ACROSS + px0 + p) * LANES + g + k % 2 * 8],
                         high[p][k], low[p][k]);
#pragma unroll
        for (int x = 0; x < 3; x++)
#pragma unroll
          for (int n = 0; n < NT; n++) {
            unsigned wh[2], wl[2];
            weight(r * 3 + x, n, wh, wl);
#pragma unroll
            for (int p = 0; p < PX; p++)
              multiply<TERMS>(TERMS == 3 ? part[p][n] : sums[p][n], high[p + x], low[p + x], wh, wl);
          }
        collect();
      }
    } else {
      const Taps &taps = s.of_class[kind];
      const int across = (PIXELS - 1) * s.step + taps.columns;
      for (int tap = 0; tap < taps.rows * taps.columns; tap++) {
        int r = tap / taps.columns, x = tap % taps.columns;
        unsigned high[PX][4], low[PX][4];
#pragma unroll
        for (int p = 0; p < PX; p++)
#pragma unroll
          for (int k = 0; k < 4; k++)
            split<TERMS>(patch[(t + k / 2 * 4) * c.patch_stride + (r * across + (px0 + p) * s.step + x) * LANES + g + k % 2 * 8],
                         high[p][k], low[p][k]);
#pragma unroll
        for (int n = 0; n < NT; n++) {
          unsigned wh[2], wl[2];
          weight(tap, n, wh, wl);
#pragma unroll
          for (int p = 0; p < PX; p++)
            multiply<TERMS>(TERMS == 3 ? part[p][n] : sums[p][n], high[p], low[p], wh, wl);
        }
        if (x == taps.columns - 1) collect();
      }
    }
    __syncthreads();
    if (c.stages == 1 && chunk + 1 < chunks) load(chunk + 1);
  }
  if (c.moments != NOTHING) {
    // Mean and sum of squared distances from it: of four pixels by each warp, then of eight.
    const int own = min(max(c.width - column - px0, 0), PX), all = min(c.width - column, PIXELS);
#pragma unroll
    for (int half = 1; half >= 0; half--) {
      if (half == 0) __syncthreads();
      if (warp % 2 != half || own == 0) continue;
#pragma unroll
      for (int n = 0; n < NT; n++)
#pragma unroll
        for (int k = 0; k < 4; k++) {
          float mean = 0.f, squares = 0.f;
#pragma unroll
          for (int p = 0; p < PX; p++) mean += p < own ? sums[p][n][k] : 0.f;
          mean /= own;
#pragma unroll
          for (int p = 0; p < PX; p++) {
            float distance = p < own ? sums[p][n][k] - mean : 0.f;
            squares += distance * distance;
          }
          const int local = co0 + n * 8 + t * 2 + k % 2, sample = g + k / 2 * 8;
          float *beside = shared + (local * LANES + sample) * 2;
          if (half == 1) {
            beside[0] = mean;
            beside[1] = squares;
            continue;
          }
          if (first + local >= c.channels) continue;
          if (all > PX) {
            const float distance = beside[0] - mean, more = (float)(all - PX) / all;
            squares += beside[1] + distance * distance * (PX * more);
            mean += distance * more;
          }
          const size_t plane = (size_t)at.group * c.channels + first + local;
          float *to = at.memory + c.moments + (plane * gridDim.x + blockIdx.x) * 2 * LANES;
          to[sample] = mean;
          to[LANES + sample] = squares;
        }
    }
  }
  const int y = row * c.spread + kind / 2;
  float *to = at.memory + c.output + (size_t)at.group * c.channels * c.full_height * c.full_width * LANES;
#pragma unroll
  for (int p = 0; p < PX; p++)
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
      for (int k = 0; k < 4; k++) {
        int pixel = column + px0 + p, channel = first + co0 + n * 8 + t * 2 + k % 2;
        if (pixel >= c.width || channel >= c.channels) continue;
        float value = sums[p][n][k];
        if (c.bias != NOTHING) value += at.memory[c.bias + channel];
        if (c.relu && !(value > 0.f)) value = value != value ? value : 0.f;
        int x = pixel * c.spread + kind % 2;
        // Of an odd number of rows or columns, some classes have one less.
        if (y >= c.full_height || x >= c.full_width) continue;
        put(to + (((size_t)channel * c.full_height + y) * c.full_width + x) * LANES + g + k / 2 * 8, value, c.onto);
      }
}

#define CORRELATE(tile, nt, precision, terms)                                                        \
  KERNEL(correlate_##tile##_##precision, Correlation) {                     \
    correlate<nt, terms, false>(networks, c);                                                        \
  }                                                                                                  \
  KERNEL(correlate3x3_##tile##_##precision, Correlation) {                  \
    correlate<nt, terms, true>(networks, c);                                                         \
  }
CORRELATE(16, 1, f32, 3)
CORRELATE(32, 2, f32, 3)
CORRELATE(64, 4, f32, 3)
CORRELATE(16, 1, tf32, 1)
CORRELATE(32, 2, tf32, 1)
CORRELATE(64, 4, tf32, 1)
