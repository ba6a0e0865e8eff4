#!/usr/bin/env python3
"""Times PyTorch's training step of the same network on a GPU, as JSON; on the processor where
DEVICE=cpu, to try this script.

    torch_step.py WIDTH:SIZE:BATCH...

For each shape: eager in both memory formats, and compiled with channels last, each with TF32 off
and on. Medians of ten steps after three; compiling is not part of them.
"""

import json
import os
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional


class ConvNorm(nn.Module):
    def __init__(self, inputs, outputs, kernel=3, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, x):
        return self.norm(self.conv(x))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, stride)
        self.second = ConvNorm(outputs, outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride)

    def forward(self, x):
        y = self.second(functional.relu(self.first(x)))
        return functional.relu(y + self.shortcut(x))


class UNet(nn.Module):
    """A ResNet-18 as encoder, five steps of decoder, a head."""

    def __init__(self, w):
        super().__init__()
        self.stem = ConvNorm(1, w, 7, 2)
        widths = [w, 2 * w, 4 * w, 8 * w]
        self.encoder = nn.ModuleList()
        inputs = w
        for i, outputs in enumerate(widths):
            stride = 1 if i == 0 else 2
            self.encoder.append(nn.Sequential(
                Block(inputs, outputs, stride), Block(outputs, outputs, 1)))
            inputs = outputs
        self.decoder = nn.ModuleList()
        for skip, outputs in zip([4 * w, 2 * w, w, w, 0], [4 * w, 2 * w, w, w // 2, w // 4]):
            self.decoder.append(nn.ModuleList(
                [ConvNorm(inputs + skip, outputs), ConvNorm(outputs, outputs)]))
            inputs = outputs
        self.head = nn.Conv2d(inputs, 1, 3, padding=1)

    def forward(self, x):
        x = functional.relu(self.stem(x))
        skips = [x]
        x = functional.max_pool2d(x, 3, 2, 1)
        for layer in self.encoder:
            x = layer(x)
            skips.append(x)
        skips.pop()
        for first, second in self.decoder:
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            if skips:
                x = torch.cat([x, skips.pop()], 1)
            x = functional.relu(second(functional.relu(first(x))))
        return self.head(x)


def dice(logits, target):
    s, y = torch.sigmoid(logits).flatten(1), target.flatten(1)
    both = 2 * (s * y).sum(1) + 1e-7
    return (1 - both / (s.sum(1) + y.sum(1) + 1e-7)).mean()


DEVICE = os.environ.get("DEVICE", "cuda")


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def measure(shape, compiled, channels_last, tf32):
    width, size, batch = shape
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
    net = UNet(width).to(DEVICE)
    x = torch.randn(batch, 1, size, size, device=DEVICE)
    y = (torch.randn(batch, 1, size, size, device=DEVICE) > 0).float()
    if channels_last:
        net, x = (t.to(memory_format=torch.channels_last) for t in (net, x))
    optimiser = torch.optim.RAdam(net.parameters(), lr=1e-3, foreach=True)
    forward = torch.compile(net) if compiled else net

    def step():
        optimiser.zero_grad(set_to_none=True)
        loss = dice(forward(x), y)
        loss.backward()
        optimiser.step()
        return loss.item()

    begun = time.perf_counter()
    for _ in range(3):
        step()
    wait()
    warm = time.perf_counter() - begun
    times = []
    for _ in range(10):
        begun = time.perf_counter()
        step()
        wait()
        times.append((time.perf_counter() - begun) * 1e3)
    return {
        "shape": ":".join(map(str, shape)), "compiled": compiled, "channels_last": channels_last,
        "tf32": tf32, "step_ms": statistics.median(times), "warm_up_s": warm,
        "memory_mib": torch.cuda.max_memory_allocated() / 2**20 if DEVICE == "cuda" else None,
    }


def main():
    rows = []
    for text in sys.argv[1:]:
        shape = tuple(int(part) for part in text.split(":"))
        for compiled, channels_last in ((False, False), (False, True), (True, True)):
            for tf32 in (False, True):
                rows.append(measure(shape, compiled, channels_last, tf32))
                print(rows[-1], file=sys.stderr, flush=True)
    print(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
