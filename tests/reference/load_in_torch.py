"""Loads an expertgrid checkpoint in PyTorch, and checks that it predicts there what it predicts here.

    expertgrid store export DIGEST -o pretrained.safetensors
    expertgrid predict --weights pretrained.safetensors --expert 1 case35/image.nii.gz -o out --logits
    python3 tests/reference/load_in_torch.py pretrained.safetensors case35/image.nii.gz out/case35_logits.nii.gz --expert 1

(torch 2.x, numpy, nibabel, safetensors.) `--save FILE` writes the weights back from PyTorch, for `expertgrid predict` to read.

The tensors have the names and shapes of segmentation_models_pytorch's `Unet("resnet18", in_channels=1, classes=1)`. With one
expert and width 64 they load into that class itself once its BatchNorm2d are replaced by InstanceNorm2d(affine=True); with
several, the norms' weights are [experts, channels], and `ConditionalNorm` below is what takes their place.
"""

import argparse
import json
import sys

import nibabel
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F


class ConditionalNorm(nn.Module):
    """An instance norm whose scale and shift are an expert's own."""

    def __init__(self, channels, experts, eps):
        super().__init__()
        shape = (channels,) if experts == 1 else (experts, channels)
        self.weight, self.bias = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.zeros(shape))
        self.eps, self.expert = eps, 0

    def forward(self, x):
        channels = x.shape[1]
        weight, bias = (p.view(-1, channels)[self.expert] for p in (self.weight, self.bias))
        # As F.instance_norm, which refuses the single pixel that a small input's deepest level is.
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        y = (x - mean) / torch.sqrt(variance + self.eps)
        return y * weight[:, None, None] + bias[:, None, None]


class UNet(nn.Module):
    """U-Net with a ResNet-18 encoder; `width` channels in the first layer, 64 in the paper."""

    def __init__(self, width, experts, eps):
        super().__init__()

        def norm(channels):
            return ConditionalNorm(channels, experts, eps)

        def conv(inputs, outputs, kernel=3, stride=1):
            return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)

        def basic_block(inputs, outputs, stride):
            block = nn.Module()
            block.conv1, block.bn1 = conv(inputs, outputs, 3, stride), norm(outputs)
            block.conv2, block.bn2 = conv(outputs, outputs), norm(outputs)
            if stride != 1 or inputs != outputs:
                block.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), norm(outputs))
            return block

        encoder = self.encoder = nn.Module()
        encoder.conv1, encoder.bn1 = conv(1, width, 7, 2), norm(width)
        channels = [width, width, 2 * width, 4 * width, 8 * width]
        for i in range(1, 5):
            first = basic_block(channels[i - 1], channels[i], 1 if i == 1 else 2)
            setattr(encoder, f"layer{i}", nn.Sequential(first, basic_block(channels[i], channels[i], 1)))
        self.decoder, blocks = nn.Module(), []
        inputs = 8 * width
        for skip, outputs in zip([4, 2, 1, 1, 0], [4, 2, 1, 1 / 2, 1 / 4]):
            skip, outputs = skip * width, int(outputs * width)
            block = nn.Module()
            block.conv1 = nn.Sequential(conv(inputs + skip, outputs), norm(outputs))
            block.conv2 = nn.Sequential(conv(outputs, outputs), norm(outputs))
            blocks.append(block)
            inputs = outputs
        self.decoder.blocks = nn.ModuleList(blocks)
        self.segmentation_head = nn.Sequential(nn.Conv2d(inputs, 1, 3, padding=1))

    def forward(self, x, expert=0):
        for module in self.modules():
            if isinstance(module, ConditionalNorm):
                module.expert = expert
        e = self.encoder
        x = F.relu(e.bn1(e.conv1(x)))
        features = [x]
        x = F.max_pool2d(x, 3, 2, 1)
        for layer in (e.layer1, e.layer2, e.layer3, e.layer4):
            for b in layer:
                y = b.bn2(b.conv2(F.relu(b.bn1(b.conv1(x)))))
                x = F.relu(y + (b.downsample(x) if hasattr(b, "downsample") else x))
            features.append(x)
        features.pop()
        for block in self.decoder.blocks:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            if features:
                x = torch.cat([x, features.pop()], 1)
            x = F.relu(block.conv2(F.relu(block.conv1(x))))
        return self.segmentation_head(x)


def load(path):
    """The network, its experts and how its images are prepared; every tensor is used."""
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["expertgrid"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    spec = about["recipe"]["network"]
    net = UNet(spec["width"], len(about["experts"]), spec["norm_eps"])
    net.load_state_dict(tensors, strict=True)
    return net.eval(), about


def prepare(pixels, image):
    """The network's input for an image [rows, columns], and where it lies: averaged over blocks, z-scored, cropped."""
    r = image["reduce"]
    rows, columns = (n // r for n in pixels.shape)
    top, left = ((n % r) // 2 for n in pixels.shape)
    blocks = pixels[top : top + rows * r, left : left + columns * r].astype(np.float64).reshape(rows, r, columns, r)
    small = blocks.mean((1, 3)).astype(np.float32)
    inside = np.argwhere(small != 0)
    z = (small - small.mean(dtype=np.float64)) / small.std(dtype=np.float64)
    crop = image["crop"] // r
    assert image["field_of_view"] == "crop", "this example looks through the training crop"
    origin = []
    for axis, n in enumerate(small.shape):
        twice = n if image["crop_at"] == "centre" else inside[:, axis].min() + inside[:, axis].max() + 1
        origin.append(min(max(twice - crop, 0) // 2, n - crop))
    y, x = origin
    return z[y : y + crop, x : x + crop].astype(np.float32), (top + y * r, left + x * r)


def enlarge(plane, r):
    """Linearly interpolated to the image's pixels."""
    for axis in (0, 1):
        n = plane.shape[axis]
        at = (np.arange(n * r) + 0.5) / r - 0.5
        plane = np.apply_along_axis(lambda line: np.interp(at, np.arange(n), line), axis, plane)
    return plane


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights")
    parser.add_argument("image")
    parser.add_argument("logits", help="what `expertgrid predict --logits` wrote")
    parser.add_argument("--expert", type=int)
    parser.add_argument("--save", help="write the weights back from PyTorch")
    options = parser.parse_args()

    net, about = load(options.weights)
    expert = options.expert or about["experts"][0]
    # NIfTI's first axis runs along rows of pixels.
    pixels = np.squeeze(nibabel.load(options.image).get_fdata()).T
    expected = np.squeeze(nibabel.load(options.logits).get_fdata()).T
    image = about["recipe"]["image"]
    x, (top, left) = prepare(pixels, image)
    with torch.no_grad():
        logits = net(torch.from_numpy(x)[None, None], about["experts"].index(expert))[0, 0].numpy()
    ours = enlarge(logits.astype(np.float64), image["reduce"])
    seen = expected[top : top + ours.shape[0], left : left + ours.shape[1]]
    assert np.isfinite(seen).all() and np.isfinite(expected).sum() == seen.size, "not the same field of view"
    difference = np.abs(ours - seen).max()
    print(f"logits from {seen.min():.3f} to {seen.max():.3f}, largest difference {difference:.1e}")
    if options.save:
        metadata = {"expertgrid": json.dumps(about)}
        save_file({name: t.contiguous() for name, t in net.state_dict().items()}, options.save, metadata)
    if difference > 1e-4 * max(1.0, np.abs(seen).max()):
        sys.exit("PyTorch predicts something else")


if __name__ == "__main__":
    main()
