// Sums in a fixed order, and other simple passes over memory.
#include "gpu.h"

// The sum of `parts` arrays of `length` one after the other, written or added.
struct PartSums {
  size_t from, to, length;
  int parts, onto;
};
KERNEL(sum_parts, PartSums) {
  Network at = network(networks);
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= c.length) return;
  float sum = 0.f;
  for (int part = 0; part < c.parts; part++) sum += at.memory[c.from + (size_t)part * c.length + i];
  put(at.memory + c.to + i, sum, c.onto);
}

// to = (to +) factor * from.
struct Scaled {
  size_t from, to, length;
  float factor;
  int onto;
};
KERNEL(scale, Scaled) {
  Network at = network(networks);
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= c.length) return;
  put(at.memory + c.to + i, c.factor * at.memory[c.from + i], c.onto);
}

// Numbers of each network, by a table of `count` offsets: to `output`, one network after the other.
struct Gathered {
  size_t table, count;
  float *output;
};
KERNEL(gather, Gathered) {
  Network at = network(networks);
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= c.count) return;
  c.output[(size_t)blockIdx.z * c.count + i] = at.memory[networks.constants[c.table + i]];
}

// From the feed to memory.
struct Fed {
  size_t from, to, length;
};
KERNEL(from_feed, Fed) {
  Network at = network(networks);
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= c.length) return;
  at.memory[c.to + i] = at.feed[c.from + i];
}

// Images of the feed, [batch][channels][pixels], as activations; lanes without an image are zeros.
struct Packing {
  size_t from, to;
  int batch, channels, pixels, unused;
};
KERNEL(pack, Packing) {
  Network at = network(networks);
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= (size_t)c.channels * c.pixels * LANES) return;
  int sample = at.group * LANES + i % LANES;
  size_t pixel = i / LANES;
  float value = sample < c.batch ? at.feed[c.from + (size_t)sample * c.channels * c.pixels + pixel] : 0.f;
  at.memory[c.to + (size_t)at.group * c.channels * c.pixels * LANES + i] = value;
}

// Weights [couts][cins][kernel][kernel] in the order in which correlations read them. An entry of
// the table is eight numbers: from, to, couts, cins, taps, channels before, channels taken, form.
enum Form {
  FORWARD,       // [cins][taps][padded couts]
  BACKWARD,      // [couts][taps][padded cins]
  JOINT_FORWARD, // [cins][class, 2 x 2 taps][padded couts]: a 3 x 3 kernel on squares of 2 x 2
  JOINT_BACKWARD // [couts][4 x 4 taps][padded cins]: the same, from the output to the input
};
struct Arrangement {
  size_t table;
};
// The taps of a 3-kernel that fall on place `a` of two, for output parity `p`.
DEVICE int first_tap(int p, int a) { return a == 0 ? 0 : p == 0 ? 1 : 2; }
DEVICE int end_tap(int p, int a) { return a == 1 ? 3 : p == 0 ? 1 : 2; }

KERNEL(arrange, Arrangement) {
  Network at = network(networks);
  if (!at.in_use) return;
  const unsigned long long *entry = networks.constants + c.table + (size_t)blockIdx.y * 8;
  const float *from = at.memory + entry[0];
  float *to = at.memory + entry[1];
  const int couts = entry[2], cins = entry[3], taps = entry[4], before = entry[5], taken = entry[6], form = entry[7];
  const bool joint = form == JOINT_FORWARD || form == JOINT_BACKWARD;
  const bool forward = form == FORWARD || form == JOINT_FORWARD;
  const int outer = forward ? taken : couts, inner = ((forward ? couts : taken) + 3) / 4 * 4;
  const int slots = joint ? 16 : taps;
  const size_t length = (size_t)outer * slots * inner;
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < length; i += (size_t)gridDim.x * blockDim.x) {
    int j = i % inner, slot = i / inner % slots, o = i / inner / slots;
    int in = forward ? o : j, out = forward ? j : o;
    float value = 0.f;
    if (in < taken && out < couts) {
      const float *w = from + ((size_t)out * cins + before + in) * taps;
      if (!joint) {
        value = w[slot];
      } else {
        int p, q, a, b;
        if (form == JOINT_FORWARD) {
          p = slot / 8, q = slot / 4 % 2, a = slot / 2 % 2, b = slot % 2;
        } else {
          // Rows 2r - 1 to 2r + 2 of the output read row r as (parity, place) (1, 1), (0, 1),
          // (1, 0) and (0, 0).
          int y = slot / 4, x = slot % 4;
          p = 1 - y % 2, a = 1 - y / 2, q = 1 - x % 2, b = 1 - x / 2;
        }
        for (int ky = first_tap(p, a); ky < end_tap(p, a); ky++)
          for (int kx = first_tap(q, b); kx < end_tap(q, b); kx++) value += w[ky * 3 + kx];
      }
    }
    to[i] = value;
  }
}

// Sets a gradient to 0 where the output of a ReLU is not positive.
struct Gate {
  size_t output, gradient, length;
};
KERNEL(close_gate, Gate) {
  Network at = network(networks);
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (!at.in_use || i >= c.length) return;
  if (!(at.memory[c.output + i] > 0.f)) at.memory[c.gradient + i] = 0.f;
}

// The sum of each channel over groups, pixels and samples: a block for each channel.
struct ChannelSums {
  size_t from, to;
  int groups, channels, pixels, onto;
};
KERNEL(channel_sums, ChannelSums) {
  SHARED
  Network at = network(networks);
  if (!at.in_use) return;
  const int channel = blockIdx.x;
  float sum = 0.f;
  for (int group = 0; group < c.groups; group++) {
    const float *from = at.memory + c.from + ((size_t)group * c.channels + channel) * c.pixels * LANES;
    for (int i = threadIdx.x; i < c.pixels * LANES; i += blockDim.x) sum += from[i];
  }
  shared[threadIdx.x] = sum;
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if ((int)threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  if (threadIdx.x == 0) put(at.memory + c.to + channel, shared[0], c.onto);
}
