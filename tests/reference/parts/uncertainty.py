"""Cross-entropy with soft targets in PyTorch: its value and gradient, and ten steps of a network trained on the mean of masks,
and of one trained on their majority and the map of their disagreement."""

import torch
from course import dice_loss, numbers, soft_batch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from .files import versions, write_json, write_tensors
from .training import both_precisions, conditional, start

# Far logits, at which a naive formula overflows, and targets at both ends.
LOGITS = [[[0.0, 2.0, -3.0], [0.5, -0.25, 40.0]], [[-40.0, 1.5, 0.0], [100.0, -100.0, 0.1]]]
TARGETS = [[[0.0, 1.0, 1 / 3], [2 / 3, 0.25, 1.0]], [[0.0, 0.5, 0.5], [0.75, 0.25, 1.0]]]


def cross_entropies():
    """Batches with their loss and its gradient: the one above, one of random numbers, and masks that are 0 and 1."""
    drawn = torch.from_numpy(numbers(2 * 25, 77)).double().reshape(2, 5, 5)
    for logits, targets in [
        (torch.tensor(LOGITS, dtype=torch.float64), torch.tensor(TARGETS, dtype=torch.float64)),
        (4 * drawn, (drawn.flip(0) + 1) / 2),
        (4 * drawn, (drawn.flip(0) > 0).double()),
    ]:
        logits = logits.clone().requires_grad_()
        loss = binary_cross_entropy_with_logits(logits, targets)
        loss.backward()
        yield {
            "logits": logits.tolist(),
            "targets": targets.tolist(),
            "loss": loss.item(),
            "gradient": logits.grad.tolist(),
        }


class MaskAndMap(nn.Module):
    """The network with a second head on the same features; its logits are an attribute of those of the first."""

    def __init__(self, width):
        super().__init__()
        self.net = conditional(width, 1)
        self.map = nn.Conv2d(self.net.head.in_channels, 1, 3, 1, 1)
        self.net.head.register_forward_pre_hook(lambda _, inputs: setattr(self, "features", inputs[0]))

    def forward(self, x):
        logits = self.net(x)
        logits.map = self.map(self.features)
        return logits


def mask_and_map_loss(logits, mean):
    """Dice of the majority, and cross-entropy with the map 4 m (1 - m), which is in single precision as all targets are."""
    single = mean.float()
    majority, disagreement = (target.to(mean.dtype) for target in ((single > 0.5).float(), 4 * single * (1 - single)))
    return dice_loss(logits, majority) + binary_cross_entropy_with_logits(logits.map, disagreement)


def main():
    torch.set_num_threads(1)
    about = versions("torch", "numpy")
    write_json("cross_entropy.json", about, cases=list(cross_entropies()))
    trainings = {}
    for width in (8, 16):

        def make():
            net = conditional(width, 1)
            start(net)
            return net

        objective = (soft_batch, binary_cross_entropy_with_logits)
        trainings |= both_precisions(f"width_{width}", make, 0, objective=objective)

        def make_two():
            net = MaskAndMap(width)
            start(net)
            return net

        objective = (soft_batch, mask_and_map_loss)
        trainings |= both_precisions(f"width_{width}/map", make_two, 0, objective=objective)
    write_tensors("uncertainty.safetensors", about, trainings)
