"""The probabilistic U-Net in PyTorch: divergences and draws with their gradients, and ten steps of training on two masks an image.

It is written as in the paper: the latent is tiled and appended to the features, and the divergence is torch.distributions'.
"""

import numpy as np
import torch
from course import BATCH, batch, numbers, start
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, relu

from .files import versions, write_json, write_tensors
from .training import both_precisions, network

LATENT, BETA, EPS = 6, 1.0, 1e-8
# The squared radii of the discs that two experts draw.
SQUARES = (100, 196)
NOISE = 50_000


class Gaussian(nn.Module):
    """Four blocks of three convolutions with means of 2x2 between them; the mean over all pixels; means and log deviations."""

    def __init__(self, inputs, width):
        super().__init__()
        blocks = []
        for outputs in (width // 2, width, 2 * width, 3 * width):
            convs = [nn.Conv2d(i, outputs, 3, 1, 1) for i in (inputs, outputs, outputs)]
            blocks.append(nn.ModuleList(convs))
            inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.out = nn.Conv2d(inputs, 2 * LATENT, 1)

    def forward(self, x):
        for place, block in enumerate(self.blocks):
            if place > 0:
                x = avg_pool2d(x, 2)
            for conv in block:
                x = relu(conv(x))
        mean, log = self.out(x.mean((2, 3), keepdim=True))[:, :, 0, 0].chunk(2, 1)
        return Normal(mean, log.exp())


class Comb(nn.Module):
    """Convolutions 1x1 over features and latent. The first one's weight is two parameters, as in the program."""

    def __init__(self, features):
        super().__init__()
        channels = max(features, 8)
        self.first = nn.Conv2d(features, channels, 1)
        # A list, so that it comes after the first weight and bias.
        self.latent = nn.ParameterList([torch.empty(channels, LATENT, 1, 1)])
        self.rest = nn.ModuleList(nn.Conv2d(channels, outputs, 1) for outputs in (channels, channels, 1))

    def forward(self, features, z):
        tiled = z[:, :, None, None].expand(-1, -1, *features.shape[2:])
        weight = torch.cat([self.first.weight, self.latent[0]], 1)
        x = nn.functional.conv2d(torch.cat([features, tiled], 1), weight, self.first.bias)
        for conv in self.rest:
            x = conv(relu(x))
        return x


class Probabilistic(nn.Module):
    """Takes images with their masks as further channels; the logits are those of the first mask."""

    last = None

    def __init__(self, width):
        super().__init__()
        self.trunk = network(width)
        self.trunk.head = nn.Identity()
        self.comb = Comb(width // 4)
        self.prior, self.posterior = Gaussian(1, width), Gaussian(2, width)
        self.steps = 0

    def forward(self, x):
        image, masks = x[:, :1], x[:, 1:]
        features, prior = self.trunk(image), self.prior(image)
        losses, logits = [], []
        for place in range(masks.shape[1]):
            mask = masks[:, place : place + 1]
            posterior = self.posterior(torch.cat([image, mask - 0.5], 1))
            drawn = numbers(BATCH * LATENT, NOISE + 2 * self.steps + place)
            noise = torch.from_numpy(drawn).reshape(BATCH, LATENT).to(x.dtype)
            z = posterior.mean + posterior.stddev * noise
            logits.append(self.comb(features, z))
            divergence = kl_divergence(posterior, prior).sum(1).mean()
            cross_entropy = binary_cross_entropy_with_logits(logits[-1], mask)
            losses.append(cross_entropy + BETA * divergence / mask[0].numel())
        self.steps += 1
        self.loss = torch.stack(losses).mean()
        Probabilistic.last = self
        return logits[0]


def masked_batch(step, size):
    images, _ = batch(step, size)
    masks = np.empty((BATCH, len(SQUARES), size, size), np.float32)
    for b in range(BATCH):
        y, x = np.mgrid[0:size, 0:size]
        row, column = 20 + (step * 7 + b * 5) % 24, 20 + (step * 11 + b * 3) % 24
        distance = (y - row) ** 2 + (x - column) ** 2
        for place, square in enumerate(SQUARES):
            masks[b, place] = distance < square
    masks = torch.from_numpy(masks)
    return torch.cat([images, masks], 1), masks


def gaussians():
    """Pairs of distributions, their divergence, a draw, and the gradients of both."""
    for posterior, prior in [
        ([[0.3, -0.2, 0.1, -0.5]], [[0.3, -0.2, 0.1, -0.5]]),
        ([[0.5, -1.0, -0.2, 0.3], [0.0, 2.0, -1.0, 0.0]], [[0.1, 0.2, 0.0, -0.4], [0.0, 0.0, 0.0, 0.0]]),
        ([[0.0, 0.0, -6.0, -6.0]], [[0.0, 0.0, 0.0, 0.0]]),
        ([[0.0, 0.0, 3.0, 3.0]], [[0.0, 0.0, 0.0, 0.0]]),
    ]:
        q, p = (torch.tensor(t, dtype=torch.float64, requires_grad=True) for t in (posterior, prior))
        normal = [Normal(t[:, :2], t[:, 2:].exp()) for t in (q, p)]
        divergence = kl_divergence(*normal).sum(1).mean()
        divergence.backward(retain_graph=True)
        gradients = [t.grad.tolist() for t in (q, p)]
        q.grad = None
        noise = torch.from_numpy(numbers(2 * len(posterior), 5)).double().reshape(-1, 2)
        z = normal[0].mean + normal[0].stddev * noise
        (z * z).sum().backward()
        yield {
            "posterior": posterior,
            "prior": prior,
            "divergence": divergence.item(),
            "gradients": gradients,
            "noise": noise.tolist(),
            "z": z.tolist(),
            "gradient_of_squares": q.grad.tolist(),
        }


def main():
    torch.set_num_threads(1)
    about = versions("torch", "numpy")
    write_json("gaussian.json", about, cases=list(gaussians()))
    trainings = {}
    for width in (8, 16):

        def make():
            net = Probabilistic(width)
            start(net)
            return net

        # The loss is the sum over pixels, over their number: so is eps.
        trainings |= both_precisions(
            f"width_{width}",
            make,
            0,
            objective=(masked_batch, lambda logits, y: Probabilistic.last.loss),
            eps=EPS / 96**2,
        )
    write_tensors("probabilistic.safetensors", about, trainings)
