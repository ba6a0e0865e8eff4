"""A checkpoint as PyTorch writes one: the network of load_in_torch.py at width 4 with three experts, saved by safetensors.torch.

Values come from course.py's formula, tensor by tensor in the order of their names, so that every bit is known; the first ones
of each are numbers that a careless reader or writer loses: a negative zero, a subnormal, the largest.
"""

import torch
from course import numbers
from load_in_torch import UNet
from safetensors.torch import save_file

from .files import FIXTURES

SPECIAL = [-0.0, 1e-42, 3.4028234663852886e38]


def main():
    net = UNet(width=4, experts=3, eps=1e-5)
    tensors = net.state_dict()
    for stream, name in enumerate(sorted(tensors)):
        shape = tensors[name].shape
        values = torch.from_numpy(numbers(shape.numel(), stream))
        special = torch.tensor(SPECIAL)[: shape.numel()]
        values[: len(special)] = special
        tensors[name] = values.reshape(shape)
    net.load_state_dict(tensors, strict=True)
    path = FIXTURES / "from_torch.safetensors"
    # Without any word about the network: as somebody would who knows nothing of this program.
    save_file(net.state_dict(), path)
    print(path)
