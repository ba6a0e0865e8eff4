// Rectified Adam for all parameters of all networks.
#include "gpu.h"

// Parameters, gradients and moments lie in four arrays of `length` floats in the same order. The
// feed has two numbers for each parameter: the factor of the first moment, and that of its quotient
// with the second, 0 while the variance is not tractable; both are negative where a parameter has
// no gradient. The table of constants has, for each block of BLOCK floats, its parameter.
struct Update {
  size_t parameters, gradients, first, second, length, rates, table;
  // Losses of the step's passes: where their sum is not finite, nothing changes.
  size_t losses;
  int passes, unused;
  float beta1, beta2, rest1, rest2, eps;
  int unused2;
};
constexpr int BLOCK = 128;

KERNEL(radam, Update) {
  Network at = network(networks);
  size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x;
  if (!at.in_use || i >= c.length) return;
  float losses = 0.f;
  for (int pass = 0; pass < c.passes; pass++) losses += at.memory[c.losses + pass];
  if (!(fabsf(losses) <= 3.402823466e38f)) return;
  const size_t parameter = networks.constants[c.table + blockIdx.x];
  const float rate = at.feed[c.rates + 2 * parameter], adaptive = at.feed[c.rates + 2 * parameter + 1];
  if (rate < 0.f) return;
  float g = at.memory[c.gradients + i];
  float m = at.memory[c.first + i] * c.beta1 + g * c.rest1;
  float v = at.memory[c.second + i] * c.beta2 + g * g * c.rest2;
  at.memory[c.first + i] = m;
  at.memory[c.second + i] = v;
  float change = adaptive > 0.f ? adaptive * m / (sqrtf(v) + c.eps) : rate * m;
  at.memory[c.parameters + i] -= change;
}
