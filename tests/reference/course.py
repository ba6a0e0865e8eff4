"""The losses of a hundred training steps in PyTorch, which both engines are held against: writes tests/fixtures/course.json.

    python3 tests/reference/course.py        (torch 2.x, numpy)

Weights and batches come from a formula that tests/suite/train/course.rs has too, so that only the losses are stored. The network
is that of benches/peers.py: the paper's at width 8, with one expert.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT.parent / "benches"))
from peers import network  # noqa: E402

WIDTH, SIZE, BATCH, STEPS, LR, BETA2 = 8, 64, 5, 100, 1e-2, 0.99


def numbers(count, stream):
    """Uniform in [-1, 1): the top 24 bits of a 64-bit mix (splitmix64) of place and stream."""
    i = np.arange(count, dtype=np.uint64) + np.uint64(stream) * np.uint64(1 << 32)
    with np.errstate(over="ignore"):
        z = (i + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.float64) / (1 << 23) - 1).astype(np.float32)


def batch(step, size=SIZE):
    """A bright disc on noise; the mask is the disc. Its place follows the step and the image."""
    images, masks = np.empty((2, BATCH, 1, size, size), np.float32)
    for b in range(BATCH):
        y, x = np.mgrid[0:size, 0:size]
        row, column = 20 + (step * 7 + b * 5) % 24, 20 + (step * 11 + b * 3) % 24
        disc = (y - row) ** 2 + (x - column) ** 2 < 144
        noise = numbers(size * size, 1000 + step * BATCH + b).reshape(size, size)
        masks[b, 0], images[b, 0] = disc, disc.astype(np.float32) + noise
    return torch.from_numpy(images), torch.from_numpy(masks)


def soft_batch(step, size=SIZE):
    """The same images; the mask is the mean of three discs of radius 10, 12 and 14."""
    images, _ = batch(step, size)
    masks = np.empty((BATCH, 1, size, size), np.float32)
    for b in range(BATCH):
        y, x = np.mgrid[0:size, 0:size]
        row, column = 20 + (step * 7 + b * 5) % 24, 20 + (step * 11 + b * 3) % 24
        distance = (y - row) ** 2 + (x - column) ** 2
        masks[b, 0] = sum((distance < square).astype(np.float32) for square in (100, 144, 196)) / np.float32(3)
    return images, torch.from_numpy(masks)


def start(net, shift=0.0):
    """Gives a network its first values: one stream of numbers for each parameter, in the network's order.

    Norms shift even channels up and odd ones down; those whose sum goes through a ReLU shift all channels up.
    """
    with torch.no_grad():
        for stream, (name, parameter) in enumerate(net.named_parameters()):
            values = torch.from_numpy(numbers(parameter.numel(), stream)).reshape(parameter.shape)
            if parameter.dim() == 4:
                parameter.copy_(values * np.float32((3.0 / parameter[0].numel()) ** 0.5))
            elif values.numel() == 1:
                parameter.zero_()
            else:
                summed = "layers" in name and (".n2." in name or "shortcut" in name)
                signs = torch.ones(values.numel())
                signs[1::2] = 1.0 if summed else -1.0
                # The scales of norms lie around 1, their shifts around 0 or the shift given.
                parameter.copy_(values * np.float32(0.25) + (1.0 if "weight" in name else np.float32(shift) * signs))


def dice_loss(logits, masks):
    """The mean over images of 1 - Dice, of the logits' sigmoid."""
    s = torch.sigmoid(logits)
    n = 2 * (s * masks).sum((1, 2, 3)) + 1e-7
    return (1 - n / (s.sum((1, 2, 3)) + masks.sum((1, 2, 3)) + 1e-7)).mean()


def set_rate(optimiser, lr, step, steps):
    """The polynomial schedule."""
    for group in optimiser.param_groups:
        group["lr"] = lr * (1 - step / steps) ** 0.9


def main():
    torch.manual_seed(0)
    net = network(WIDTH)
    start(net)
    optimiser = torch.optim.RAdam(net.parameters(), lr=LR, betas=(0.9, BETA2))
    losses = []
    for step in range(STEPS):
        set_rate(optimiser, LR, step, STEPS)
        x, y = batch(step)
        optimiser.zero_grad()
        loss = dice_loss(net(x), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    about = {"torch": torch.__version__, "width": WIDTH, "size": SIZE, "batch": BATCH, "lr": LR, "beta2": BETA2}
    text = json.dumps({**about, "losses": losses}, indent=1)
    (ROOT / "fixtures" / "course.json").write_text(text + "\n")
    print(losses[0], losses[49], losses[99])


if __name__ == "__main__":
    main()
