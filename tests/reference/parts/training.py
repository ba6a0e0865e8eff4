"""The whole network in PyTorch: logits, losses, gradients, ten steps, and both arms of adaptation.

Weights and batches are those of course.py, so that only what PyTorch makes of them is stored. A tensor is stored as its
norm, two projections and a strided sample: an error anywhere in it moves the projections. Gradients and changes of
parameters are matrices with one such row for each parameter, in the network's order.

In double precision all of it is compared. In single precision rounding moves some of half a million values to the other
side of a ReLU, and gradients by that value's share. So there gradients are those of a network whose norms shift values away
from 0; losses and logits, which have no jump at 0, are compared from the same weights as in double precision.
"""

import numpy as np
import torch
from course import batch, dice_loss, network, numbers, set_rate, start
from torch import nn

from .files import versions, write_tensors

STEPS, LR, BETAS, EPS = 10, 5e-3, (0.9, 0.999), 1e-8
# Nine pixels at the deepest norms: over fewer, some variance is so small that rounding errors grow a hundredfold.
SIZE = 96
SAMPLE, LOGITS = 32, 4096
# The standard deviations that the norms shift values by, one way or the other, so that few are near 0.
SHIFT = 3.0
# A batch that brings no value within eight standard deviations of single precision's error to 0.
SHIFTED_BATCH = 7
# The branch that the frozen network goes on with.
INHERITED = 1


class ConditionalNorm(nn.Module):
    """gamma[e] (x - mean) / sqrt(variance + eps) + beta[e], with an expert e for each sample."""

    def __init__(self, channels, experts):
        super().__init__()
        self.weight = nn.ParameterList(torch.ones(channels) for _ in range(experts))
        self.bias = nn.ParameterList(torch.zeros(channels) for _ in range(experts))
        self.experts = None

    def forward(self, x):
        # Rows that no sample chose get no gradient, rather than one of zeros.
        weight, bias = (torch.stack([rows[e] for e in self.experts]) for rows in (self.weight, self.bias))
        return nn.functional.instance_norm(x, eps=1e-5) * weight[:, :, None, None] + bias[:, :, None, None]


def conditional(width, experts):
    """The network with a branch for each expert; with one expert PyTorch's own affine instance norm."""
    net = network(width)
    if experts > 1:
        for module in list(net.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.InstanceNorm2d):
                    setattr(module, name, ConditionalNorm(child.num_features, experts))
    return net


def choose(net, experts):
    for module in net.modules():
        if isinstance(module, ConditionalNorm):
            module.experts = experts


def branches(step):
    """Every sample has its own expert; in one step of three the last expert is absent, and must stand still."""
    return [0, 1, 1, 0, 1] if step % 3 == 2 else [0, 1, 2, 1, 0]


def flat(tensor):
    return tensor.detach().to(torch.float64).flatten().numpy()


def row(values, index, count):
    """Norm, two projections, and every so many of the values."""
    projections = [values @ numbers(len(values), 10_000 + 2 * index + i).astype(np.float64) for i in range(2)]
    places = np.arange(count) * len(values) // count
    return np.array([np.linalg.norm(values), *projections, *values[places]])


def rows(tensors):
    return np.array([row(values, index, SAMPLE) for index, values in enumerate(tensors)])


def ten_steps(net, first, chosen, objective, eps):
    """Trains and returns the losses, the first step's logits and gradients, and how far each parameter went."""
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimiser = torch.optim.RAdam(trained, lr=LR, betas=BETAS, eps=eps)
    before = [flat(parameter).copy() for parameter in trained]
    losses = []
    draw, loss_of = objective
    for step in range(STEPS):
        set_rate(optimiser, LR, step, STEPS)
        if chosen:
            choose(net, chosen(step))
        x, y = (tensor.to(trained[0].dtype) for tensor in draw(first + step, SIZE))
        optimiser.zero_grad()
        logits = net(x)
        loss = loss_of(logits, y)
        loss.backward()
        if step == 0:
            start_logits = flat(logits).copy()
            gradients = [flat(parameter.grad).copy() for parameter in trained]
        optimiser.step()
        losses.append(loss.item())
    changes = [flat(parameter) - start for parameter, start in zip(trained, before)]
    return np.array(losses), start_logits, gradients, changes


def apart(single, double):
    return np.abs(single - double).max() / np.abs(double).max()


def both_precisions(name, make, first, chosen=None, objective=(batch, dice_loss), eps=EPS):
    """The tensors of a training from weights in single precision, computed in double and in single precision."""
    losses, logits, gradients, changes = ten_steps(make().double(), first, chosen, objective, eps)
    single_losses, single_logits, _, _ = ten_steps(make(), first, chosen, objective, eps)
    print(f"{name}: losses {losses[0]:.6f} to {losses[-1]:.6f}; single precision is apart by "
          f"{apart(single_logits, logits):.1e} in the logits, {apart(single_losses, losses):.1e} in the losses")
    return {
        f"{name}/losses": losses,
        f"{name}/logits": row(logits, 0, LOGITS),
        f"{name}/largest_logit": np.array([np.abs(logits).max()]),
        f"{name}/gradients": rows(gradients),
        f"{name}/changes": rows(changes),
        f"{name}/single/losses": single_losses,
        f"{name}/single/logits": row(single_logits, 0, LOGITS).astype(np.float32),
    }


def first_gradients(net, chosen):
    if chosen:
        choose(net, chosen(0))
    x, y = (tensor.to(next(net.parameters()).dtype) for tensor in batch(SHIFTED_BATCH, SIZE))
    dice_loss(net(x), y).backward()
    return [flat(parameter.grad) for parameter in net.parameters()]


def both_gradients(name, make, chosen):
    """The gradients of a network with few values near 0, in double and in single precision."""
    double, single = first_gradients(make().double(), chosen), first_gradients(make(), chosen)
    distances = [np.linalg.norm(s - d) / np.linalg.norm(d) for s, d in zip(single, double)]
    print(f"{name}: gradients in single precision are apart by {max(distances):.1e}")
    # A value that fell on the other side would show.
    assert max(distances) < 2e-5, name
    return {f"{name}/gradients": rows(double), f"{name}/single/gradients": rows(single).astype(np.float32)}


def cases(shift):
    """Name, constructor and branches of the network in both widths, for one expert and for three."""
    for width in (8, 16):
        for experts in (1, 3):

            def make():
                net = conditional(width, experts)
                start(net, shift)
                return net

            yield f"width_{width}/experts_{experts}", make, branches if experts == 3 else None


def adaptations():
    tensors = {}
    for width in (8, 16):
        pretrained = conditional(width, 3)
        start(pretrained)
        values = dict(pretrained.named_parameters())

        def whole():
            """The shared part of three experts' network, fresh norms, all of it trained."""
            net = network(width)
            with torch.no_grad():
                for name, parameter in net.named_parameters():
                    if name in values:
                        parameter.copy_(values[name])
            return net

        def norms():
            """The shared part frozen, the norms of one expert trained."""
            net = network(width)
            with torch.no_grad():
                for name, parameter in net.named_parameters():
                    parameter.copy_(values[name] if name in values else values[f"{name}.{INHERITED}"])
                    parameter.requires_grad = name not in values
            return net

        for arm, make in [("whole", whole), ("norms", norms)]:
            tensors |= both_precisions(f"width_{width}/{arm}", make, STEPS)
    return tensors


def main():
    # One thread: sums in one order.
    torch.set_num_threads(1)
    about = versions("torch", "numpy")
    trainings, gradients = {}, {}
    for name, make, chosen in cases(0.0):
        trainings |= both_precisions(name, make, 0, chosen)
    for name, make, chosen in cases(SHIFT):
        gradients |= both_gradients(name, make, chosen)
    write_tensors("training.safetensors", about, trainings)
    write_tensors("gradients.safetensors", about, gradients)
    write_tensors("adaptation.safetensors", about, adaptations())
