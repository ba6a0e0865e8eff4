// Conditional instance norm: moments of each plane and sample, the affine map with residual and
// ReLU, and its gradients.
//
// A plane is cut into parts, whose moments are combined in a fixed order: the pixels of a block of
// correlate.cu, or pieces of PIECE pixels. Gradients are summed in pieces, which every block that
// needs the sum adds up.
#include "gpu.h"

// Of x [groups][channels][pixels][16], for each piece mean and sum of squared distances from it:
// [groups][channels][pieces][2][16].
struct Moments {
  size_t x, moments;
  int channels, pixels, pieces, unused;
};
KERNEL(norm_moments, Moments) {
  SHARED
  Network at = network(networks);
  if (!at.in_use) return;
  const int piece = blockIdx.x, channel = blockIdx.y, lane = threadIdx.x % LANES;
  const size_t plane = (size_t)at.group * c.channels + channel;
  const float *x = at.memory + c.x + plane * c.pixels * LANES;
  const int first = piece * PIECE, last = min(first + PIECE, c.pixels);
  float sum = 0.f;
  for (int i = first + threadIdx.x / LANES; i < last; i += ROWS) sum += x[(size_t)i * LANES + lane];
  const float mean = lane_sum(shared, sum) / (last - first);
  float squares = 0.f;
  for (int i = first + threadIdx.x / LANES; i < last; i += ROWS) {
    float distance = x[(size_t)i * LANES + lane] - mean;
    squares += distance * distance;
  }
  squares = lane_sum(shared, squares);
  if (threadIdx.x >= LANES) return;
  float *to = at.memory + c.moments + (plane * c.pieces + piece) * 2 * LANES;
  to[lane] = mean;
  to[LANES + lane] = squares;
}

// Of whole planes from their parts, `rows` rows of parts of up to `span` of `width` pixels: mean and
// 1 / deviation, [groups][channels][2][16] (Chan et al.). A block for each plane.
struct Whole {
  size_t parts, moments;
  int channels, rows, width, span;
  float eps;
  int unused;
};
struct PartMoments {
  float count, mean, squares;
};
DEVICE void combine(PartMoments &all, const PartMoments &more) {
  if (more.count == 0.f) return;
  const float distance = more.mean - all.mean, share = more.count / (all.count + more.count);
  all.squares += more.squares + distance * distance * (all.count * share);
  all.mean += distance * share;
  all.count += more.count;
}
KERNEL(norm_whole, Whole) {
  SHARED
  Network at = network(networks);
  if (!at.in_use) return;
  const int lane = threadIdx.x % LANES, row = threadIdx.x / LANES;
  const size_t plane = (size_t)at.group * c.channels + blockIdx.x;
  const int segments = (c.width + c.span - 1) / c.span, parts = c.rows * segments;
  const float *from = at.memory + c.parts + plane * parts * 2 * LANES;
  PartMoments all = {0.f, 0.f, 0.f};
  for (int part = row; part < parts; part += ROWS) {
    const float *of = from + (size_t)part * 2 * LANES;
    const int count = min(c.span, c.width - part % segments * c.span);
    combine(all, {(float)count, of[lane], of[LANES + lane]});
  }
  float *own = shared + threadIdx.x * 3;
  own[0] = all.count, own[1] = all.mean, own[2] = all.squares;
  __syncthreads();
  if (row > 0) return;
  for (int other = 1; other < ROWS; other++) {
    const float *of = shared + (other * LANES + lane) * 3;
    combine(all, {of[0], of[1], of[2]});
  }
  float *to = at.memory + c.moments + plane * 2 * LANES;
  to[lane] = all.mean;
  to[LANES + lane] = 1.f / sqrtf(all.squares / all.count + c.eps);
}

// y = act(gamma (x - mean) rstd + beta + residual). `gamma` and `beta` are [experts][channels], an
// expert's `expert_stride` floats behind the one before; `route` [groups][16] names the expert of
// every sample; of a lane without one, -1.
struct Normalise {
  size_t x, residual, y, moments, gamma, beta, route;
  int channels, pixels, relu, expert_stride;
};
KERNEL(norm_apply, Normalise) {
  Network at = network(networks);
  if (!at.in_use) return;
  const int piece = blockIdx.x, channel = blockIdx.y, lane = threadIdx.x % LANES;
  const size_t plane = (size_t)at.group * c.channels + channel;
  const int expert = max(((const int *)(at.memory + c.route))[at.group * LANES + lane], 0);
  const float *moments = at.memory + c.moments + plane * 2 * LANES;
  const float mean = moments[lane], rstd = moments[LANES + lane];
  const float factor = at.memory[c.gamma + (size_t)expert * c.expert_stride + channel] * rstd;
  const float shift = at.memory[c.beta + (size_t)expert * c.expert_stride + channel];
  const int first = piece * PIECE, last = min(first + PIECE, c.pixels);
  for (int i = first + threadIdx.x / LANES; i < last; i += ROWS) {
    const size_t place = (plane * c.pixels + i) * LANES + lane;
    float y = (at.memory[c.x + place] - mean) * factor + shift;
    if (c.residual != NOTHING) y += at.memory[c.residual + place];
    if (c.relu && !(y > 0.f)) y = y != y ? y : 0.f;
    at.memory[c.y + place] = y;
  }
}

// The sums that gradients need, for each piece: of the gradient behind the activation, and of its
// product with the normalised input: [groups][channels][pieces][2][16]. `y` is the output, where a
// ReLU has closed.
struct GradientSums {
  size_t x, y, gradient, moments, sums;
  int channels, pixels, pieces, relu;
};
KERNEL(norm_gradient_sums, GradientSums) {
  SHARED
  Network at = network(networks);
  if (!at.in_use) return;
  const int piece = blockIdx.x, channel = blockIdx.y, lane = threadIdx.x % LANES;
  const size_t plane = (size_t)at.group * c.channels + channel;
  const float *moments = at.memory + c.moments + plane * 2 * LANES;
  const float mean = moments[lane], rstd = moments[LANES + lane];
  const int first = piece * PIECE, last = min(first + PIECE, c.pixels);
  float all = 0.f, with = 0.f;
  for (int i = first + threadIdx.x / LANES; i < last; i += ROWS) {
    const size_t place = (plane * c.pixels + i) * LANES + lane;
    float dy = at.memory[c.gradient + place];
    if (c.relu && !(at.memory[c.y + place] > 0.f)) dy = 0.f;
    all += dy;
    with += dy * ((at.memory[c.x + place] - mean) * rstd);
  }
  all = lane_sum(shared, all);
  with = lane_sum(shared, with);
  if (threadIdx.x >= LANES) return;
  float *to = at.memory + c.sums + (plane * c.pieces + piece) * 2 * LANES;
  to[lane] = all;
  to[LANES + lane] = with;
}

// The gradients of input, residual, scales and shifts. What is not asked for is NOTHING.
struct NormGradient {
  size_t x, y, gradient, moments, sums, gamma, route, dx, dresidual, dgamma, dbeta;
  int channels, pixels, pieces, groups, experts, expert_stride, relu;
  int onto_x, onto_residual, onto_affine;
};
KERNEL(norm_gradient, NormGradient) {
  SHARED
  Network at = network(networks);
  if (!at.in_use) return;
  const int piece = blockIdx.x, channel = blockIdx.y, lane = threadIdx.x % LANES;
  const size_t plane = (size_t)at.group * c.channels + channel;
  const int *route = (const int *)(at.memory + c.route);
  const int expert = max(route[at.group * LANES + lane], 0);
  const float *moments = at.memory + c.moments + plane * 2 * LANES;
  const float mean = moments[lane], rstd = moments[LANES + lane];
  auto total = [&](size_t of_plane, int which) {
    const float *sums = at.memory + c.sums + of_plane * c.pieces * 2 * LANES + which * LANES + lane;
    float sum = 0.f;
    for (int i = 0; i < c.pieces; i++) sum += sums[(size_t)i * 2 * LANES];
    return sum;
  };
  const float factor = at.memory[c.gamma + (size_t)expert * c.expert_stride + channel] * rstd;
  const float usual = total(plane, 0) / c.pixels, with = total(plane, 1) / c.pixels;
  const int first = piece * PIECE, last = min(first + PIECE, c.pixels);
  for (int i = first + threadIdx.x / LANES; i < last; i += ROWS) {
    const size_t place = (plane * c.pixels + i) * LANES + lane;
    float dy = at.memory[c.gradient + place];
    if (c.relu && !(at.memory[c.y + place] > 0.f)) dy = 0.f;
    if (c.dresidual != NOTHING) put(at.memory + c.dresidual + place, dy, c.onto_residual);
    if (c.dx == NOTHING) continue;
    float normalised = (at.memory[c.x + place] - mean) * rstd;
    put(at.memory + c.dx + place, factor * (dy - usual - normalised * with), c.onto_x);
  }
  // One block for each channel sums over the samples of each expert, in their order.
  if (c.dgamma == NOTHING || piece > 0 || at.group > 0) return;
  for (int group = 0; group < c.groups; group++) {
    const size_t of_group = (size_t)group * c.channels + channel;
    float shifts = total(of_group, 0), scales = total(of_group, 1);
    __syncthreads();
    if (threadIdx.x < LANES) {
      shared[lane] = scales;
      shared[LANES + lane] = shifts;
    }
    __syncthreads();
    for (int e = threadIdx.x; e < c.experts; e += THREADS) {
      float scale = 0.f, shift = 0.f;
      for (int i = 0; i < LANES; i++)
        if (route[group * LANES + i] == e) {
          scale += shared[i];
          shift += shared[LANES + i];
        }
      const size_t to = (size_t)e * c.expert_stride + channel;
      put(at.memory + c.dgamma + to, scale, c.onto_affine || group > 0);
      put(at.memory + c.dbeta + to, shift, c.onto_affine || group > 0);
    }
  }
}
