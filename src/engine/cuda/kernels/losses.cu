// Losses of one channel of logits, divergences of normal distributions, and their gradients.
//
// Sums over pixels are taken for each piece of a plane and sample; one block combines them in a
// fixed order.
#include "gpu.h"

DEVICE float logistic(float z) { return 1.f / (1.f + expf(-z)); }

// Of logits and target [groups][pixels][16], for each piece two sums: [groups][pieces][2][16].
// Dice: of s y, and of s + y. Cross-entropy: of ln(1 + exp(z)) - y z, and nothing.
struct LossSums {
  size_t logits, target, sums;
  int pixels, pieces, cross_entropy, unused;
};
KERNEL(loss_sums, LossSums) {
  SHARED
  Network at = network(networks);
  if (!at.in_use) return;
  const int piece = blockIdx.x, lane = threadIdx.x % LANES;
  const int first = piece * PIECE, last = min(first + PIECE, c.pixels);
  float a = 0.f, b = 0.f;
  for (int i = first + threadIdx.x / LANES; i < last; i += ROWS) {
    const size_t place = ((size_t)at.group * c.pixels + i) * LANES + lane;
    float z = at.memory[c.logits + place], y = at.memory[c.target + place];
    if (c.cross_entropy) {
      a += fmaxf(z, 0.f) + log1pf(expf(-fabsf(z))) - y * z;
    } else {
      float s = logistic(z);
      a += s * y;
      b += s + y;
    }
  }
  a = lane_sum(shared, a);
  b = lane_sum(shared, b);
  if (threadIdx.x >= LANES) return;
  float *to = at.memory + c.sums + ((size_t)at.group * c.pieces + piece) * 2 * LANES;
  to[lane] = a;
  to[LANES + lane] = b;
}

// The loss, one number, and for the gradient of the logits three tables [groups][16]. Dice: N, D
// and the sample's share. Cross-entropy: nothing, nothing and the share of a pixel. One block for
// each network.
struct LossOf {
  size_t sums, tables, loss;
  int groups, pixels, pieces, batch, cross_entropy, over_batch;
  float smooth;
  int unused;
};
KERNEL(loss_of, LossOf) {
  SHARED
  Network at = network(networks);
  if (!at.in_use) return;
  const int samples = c.groups * LANES;
  float *numerator = at.memory + c.tables, *denominator = numerator + samples, *share = denominator + samples;
  for (int sample = threadIdx.x; sample < samples; sample += blockDim.x) {
    const float *sums = at.memory + c.sums + (size_t)(sample / LANES) * c.pieces * 2 * LANES + sample % LANES;
    float a = 0.f, b = 0.f;
    for (int piece = 0; piece < c.pieces; piece++) {
      a += sums[(size_t)piece * 2 * LANES];
      b += sums[((size_t)piece * 2 + 1) * LANES];
    }
    numerator[sample] = c.cross_entropy ? a : 2.f * a + (c.over_batch ? 0.f : c.smooth);
    denominator[sample] = b + (c.over_batch ? 0.f : c.smooth);
    // A lane without an image has no share in the loss.
    float of_sample = c.cross_entropy ? 1.f / ((float)c.batch * c.pixels) : c.over_batch ? 1.f : 1.f / c.batch;
    share[sample] = sample < c.batch ? of_sample : 0.f;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    float sum = 0.f, n = 0.f, d = 0.f;
    for (int sample = 0; sample < c.batch; sample++) {
      n += numerator[sample];
      d += denominator[sample];
      sum += c.cross_entropy ? numerator[sample] / c.pixels : 1.f - numerator[sample] / denominator[sample];
    }
    bool whole = !c.cross_entropy && c.over_batch;
    shared[0] = n + c.smooth;
    shared[1] = d + c.smooth;
    at.memory[c.loss] = whole ? 1.f - shared[0] / shared[1] : sum / c.batch;
  }
  __syncthreads();
  if (!c.cross_entropy && c.over_batch)
    for (int sample = threadIdx.x; sample < samples; sample += blockDim.x) {
      numerator[sample] = shared[0];
      denominator[sample] = shared[1];
    }
}

// The gradient of the logits, `weight` being that of the loss.
struct LossGradient {
  size_t logits, target, tables, gradient;
  int groups, pixels, cross_entropy, onto;
  float weight;
  int unused;
};
KERNEL(loss_gradient, LossGradient) {
  Network at = network(networks);
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= (size_t)c.pixels * LANES) return;
  const size_t place = (size_t)at.group * c.pixels * LANES + i;
  const int sample = at.group * LANES + i % LANES, samples = c.groups * LANES;
  const float *tables = at.memory + c.tables + sample;
  float s = logistic(at.memory[c.logits + place]), y = at.memory[c.target + place];
  float share = c.weight * tables[2 * samples], slope;
  if (c.cross_entropy) {
    slope = share * (s - y);
  } else {
    float n = tables[0], d = tables[samples];
    slope = share * -((2.f * y * d - n) / (d * d)) * (s * (1.f - s));
  }
  // Of a lane without an image too: zero.
  put(at.memory + c.gradient + place, share == 0.f ? 0.f : slope, c.onto);
}

// Normal distributions [groups][2 d][16]: d means, then d logarithms of deviations within
// +-`bound`. In double precision: there are a few numbers for each sample.
DEVICE double bounded(float log, double bound) {
  return log != log ? (double)log : fmin(fmax((double)log, -bound), bound);
}

// z = mean + deviation * noise, both [groups][d][16]. A thread for each number of a group.
struct Draw {
  size_t distribution, noise, z, dz, gradient;
  int latent, onto;
  float bound;
  int unused;
};
KERNEL(draw, Draw) {
  Network at = network(networks);
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= c.latent * LANES) return;
  const size_t mean = (size_t)at.group * 2 * c.latent * LANES + i, value = (size_t)at.group * c.latent * LANES + i;
  double deviation = exp(bounded(at.memory[c.distribution + mean + c.latent * LANES], c.bound));
  at.memory[c.z + value] = (float)((double)at.memory[c.distribution + mean] + deviation * at.memory[c.noise + value]);
}
KERNEL(draw_gradient, Draw) {
  Network at = network(networks);
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= c.latent * LANES) return;
  const size_t mean = (size_t)at.group * 2 * c.latent * LANES + i, value = (size_t)at.group * c.latent * LANES + i;
  double deviation = exp(bounded(at.memory[c.distribution + mean + c.latent * LANES], c.bound));
  float dz = at.memory[c.dz + value];
  put(at.memory + c.gradient + mean, dz, c.onto);
  put(at.memory + c.gradient + mean + c.latent * LANES, (float)((double)dz * at.memory[c.noise + value] * deviation), c.onto);
}

// The mean over samples of the divergence of posteriors from priors. One block for each network.
struct Divergence {
  size_t posterior, prior, loss, of_posterior, of_prior;
  int groups, latent, batch, onto_posterior, onto_prior;
  float bound, weight;
  int unused;
};
struct Divergent {
  double log_ratio, variances, distance, prior_deviation;
};
DEVICE Divergent divergent(const float *posterior, const float *prior, size_t mean, size_t deviation, double bound) {
  double q = bounded(posterior[deviation], bound), p = bounded(prior[deviation], bound);
  Divergent one;
  one.log_ratio = p - q;
  one.variances = exp(2. * (q - p));
  one.prior_deviation = exp(p);
  one.distance = ((double)posterior[mean] - prior[mean]) / one.prior_deviation;
  return one;
}
KERNEL(divergence, Divergence) {
  SHARED
  Network at = network(networks);
  if (!at.in_use) return;
  const float *posterior = at.memory + c.posterior, *prior = at.memory + c.prior;
  for (int sample = threadIdx.x; sample < c.batch; sample += blockDim.x) {
    double sum = 0.;
    for (int d = 0; d < c.latent; d++) {
      size_t mean = ((size_t)(sample / LANES) * 2 * c.latent + d) * LANES + sample % LANES;
      Divergent one = divergent(posterior, prior, mean, mean + (size_t)c.latent * LANES, c.bound);
      sum += one.log_ratio + (one.variances + one.distance * one.distance) / 2. - .5;
    }
    shared[sample] = (float)sum;
  }
  __syncthreads();
  if (threadIdx.x > 0) return;
  float sum = 0.f;
  for (int sample = 0; sample < c.batch; sample++) sum += shared[sample];
  at.memory[c.loss] = sum / c.batch;
}
KERNEL(divergence_gradient, Divergence) {
  Network at = network(networks);
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= c.latent * LANES) return;
  const size_t mean = (size_t)at.group * 2 * c.latent * LANES + i, deviation = mean + (size_t)c.latent * LANES;
  Divergent one = divergent(at.memory + c.posterior, at.memory + c.prior, mean, deviation, c.bound);
  double weight = at.group * LANES + i % LANES < c.batch ? (double)c.weight / c.batch : 0.;
  double towards = one.distance / one.prior_deviation;
  float *q = at.memory + c.of_posterior, *p = at.memory + c.of_prior;
  put(q + mean, (float)(weight * towards), c.onto_posterior);
  put(p + mean, (float)(-weight * towards), c.onto_prior);
  put(q + deviation, (float)(weight * (one.variances - 1.)), c.onto_posterior);
  put(p + deviation, (float)(weight * (1. - one.variances - one.distance * one.distance)), c.onto_prior);
}
