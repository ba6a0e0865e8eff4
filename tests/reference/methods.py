"""Writes tests/fixtures/methods.json: losses, networks, the optimiser and fused masks of the methods, and their sizes.

    pip install torch==2.15.0 numpy==2.4.6 SimpleITK==2.5.7
    python methods.py FIXTURES_FOLDER

All in double precision. Losses and networks come from PyTorch's autograd, and a central difference checks each gradient
of a loss; STAPLE comes from SimpleITK and from an EM over the patterns of decisions; sizes, laws of initial values and
matched pairings from formulas.
"""

import itertools
import json
import math
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
OUT = {"torch": torch.__version__, "numpy": np.__version__, "simpleitk": sitk.Version_VersionString()}


def listed(x, digits=None):
    a = x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
    return a.tolist() if digits is None else np.round(a, digits).tolist()


def wave(shape, a, b, scale=1.0):
    """Values that any program can make again: scale * sin(a * i + b) over the row-major index i."""
    n = int(np.prod(shape))
    return torch.tensor(scale * np.sin(a * np.arange(n) + b)).reshape(shape)


def checked(f, inputs, h=1e-6, tolerance=1e-6):
    """Gradients of a scalar by autograd; a central difference of every element must agree."""
    leaves = [x.detach().clone().requires_grad_(True) for x in inputs]
    grads = torch.autograd.grad(f(*leaves), leaves)
    worst = 0.0
    for k, x in enumerate(leaves):
        flat = x.detach().reshape(-1)
        for i in range(flat.numel()):
            def at(step):
                moved = flat.clone()
                moved[i] += step
                args = [y.detach() for y in leaves]
                args[k] = moved.reshape(x.shape)
                return float(f(*args))
            numeric = (at(h) - at(-h)) / (2 * h)
            found = float(grads[k].reshape(-1)[i])
            worst = max(worst, abs(numeric - found) / (1 + abs(numeric)))
    assert worst < tolerance, worst
    return grads


# ---- sizes

def unet_count(width, experts):
    sixteenths = 16 * (36 + 128 + 512 + 2048 + 576 + 144 + 36) + 180 + 27
    return width * width * sixteenths // 16 + 49 * width + 9 * width // 4 + 1 + 181 * width * experts


def conv_count(inputs, outputs, kernel):
    return inputs * outputs * kernel * kernel + outputs


def gaussian_channels(width):
    return [width // 2, width, 2 * width, 3 * width]


def gaussian_count(inputs, width, latent):
    count = 0
    for outputs in gaussian_channels(width):
        count += conv_count(inputs, outputs, 3) + 2 * conv_count(outputs, outputs, 3)
        inputs = outputs
    return count + conv_count(inputs, 2 * latent, 1)


def comb_width(width):
    return max(width // 4, 8)


def comb_count(width, latent):
    c = comb_width(width)
    return conv_count(width // 4 + latent, c, 1) + 2 * conv_count(c, c, 1) + conv_count(c, 1, 1)


def unet_macs(w, side):
    macs = 49 * w * (side // 2) ** 2
    at, inputs = side // 4, w
    for i, outputs in enumerate([w, 2 * w, 4 * w, 8 * w]):
        stride = 1 if i == 0 else 2
        to = at // stride
        macs += (9 * inputs * outputs + 9 * outputs * outputs + 2 * 9 * outputs * outputs) * to * to
        if stride != 1 or inputs != outputs:
            macs += inputs * outputs * to * to
        at, inputs = to, outputs
    for up, skip, outputs in [(8 * w, 4 * w, 4 * w), (4 * w, 2 * w, 2 * w), (2 * w, w, w), (w, w, w // 2), (w // 2, 0, w // 4)]:
        at *= 2
        macs += (9 * (up + skip) * outputs + 9 * outputs * outputs) * at * at
    head = 9 * (w // 4) * at * at
    return macs + head, head


def gaussian_macs(inputs, w, side):
    macs = 0
    for i, outputs in enumerate(gaussian_channels(w)):
        macs += (9 * inputs * outputs + 2 * 9 * outputs * outputs) * (side >> i) ** 2
        inputs = outputs
    return macs


def sizes():
    table = []
    for width, side in ((64, 192), (8, 64), (4, 32)):
        head = 9 * width // 4 + 1
        one = unet_count(width, 1)
        prior, posterior, comb = gaussian_count(1, width, 6), gaussian_count(2, width, 6), comb_count(width, 6)
        macs, head_macs = unet_macs(width, side)
        c, f = comb_width(width), width // 4
        comb_macs = (f * c + 2 * c * c + c) * side * side + 6 * c
        prior_macs, posterior_macs = gaussian_macs(1, width, side), gaussian_macs(2, width, side)
        full = macs - head_macs + comb_macs + prior_macs + posterior_macs
        table.append({
            "width": width, "side": side, "norm_parameters_per_expert": 181 * width, "head_parameters": head,
            "norms_by_experts": [unet_count(width, e) for e in range(1, 6)],
            "heads_by_experts": [one + (e - 1) * head for e in range(1, 6)],
            "one_branch": one, "uncertainty_beside": one + head,
            "probabilistic": {
                "latent": 6, "gaussian_channels": gaussian_channels(width), "comb_channels": c,
                "prior": prior, "posterior": posterior, "comb": comb, "total": one - head + prior + posterior + comb,
                "adapted": one - head + comb},
            "forward_macs_per_image": {
                "unet": macs, "prior": prior_macs, "posterior": posterior_macs, "comb": comb_macs,
                "probabilistic_training": full, "ratio_to_unet": full / macs}})
    assert table[0]["one_branch"] == 14_321_937 and table[0]["forward_macs_per_image"]["unet"] == 2_978_611_200
    OUT["sizes"] = table


# ---- losses

def bce(z, y):
    """Mean over pixels, then over pairs."""
    return F.binary_cross_entropy_with_logits(z, y, reduction="mean")


def dice(z, y, smooth=1e-7):
    """[B, C] pairs, one loss each, then the mean."""
    s = torch.sigmoid(z)
    n = 2 * (s * y).sum((-1, -2)) + smooth
    d = s.sum((-1, -2)) + y.sum((-1, -2)) + smooth
    return (1 - n / d).mean()


def losses():
    z = torch.tensor([[[[0.0, 2.0, -3.0], [0.5, -0.25, 40.0]]], [[[-40.0, 1.5, 0.0], [100.0, -100.0, 0.1]]]])
    y = torch.tensor([[[[0.0, 1.0, 1 / 3], [2 / 3, 0.25, 1.0]]], [[[0.0, 0.5, 0.5], [0.75, 0.25, 1.0]]]])
    [grad] = checked(lambda z: bce(z, y), [z])
    closed = (torch.sigmoid(z) - y) / z.numel()
    assert torch.allclose(grad, closed, atol=1e-15)
    formula = z.clamp(min=0) - z * y + torch.log1p(torch.exp(-z.abs()))
    assert abs(float(formula.mean() - bce(z, y))) < 1e-15
    OUT["bce"] = {
        "formula": "mean over pixels, then pairs, of max(z,0) - z y + ln(1 + exp(-|z|)); gradient (sigmoid(z) - y) / count",
        "logits": listed(z), "targets": listed(y), "loss": float(bce(z, y)), "gradient": listed(grad)}

    # Heads: [B, E] logits against [B, E] masks. Pool: one logit plane against E masks.
    z = wave((2, 3, 3, 4), 0.9, 0.3, 2.0)
    y = (wave((2, 3, 3, 4), 1.7, 0.1) > 0).double()
    y[1, 2] = 0  # an empty mask
    [grad] = checked(lambda z: dice(z, y), [z])
    one = z[:, :1]
    [pooled] = checked(lambda z: dice(z.expand(2, 3, 3, 4), y), [one])
    OUT["dice_of_many"] = {
        "note": "logits are 2 sin(0.9 i + 0.3), masks sin(1.7 i + 0.1) > 0 over the index of [2, 3, 3, 4]; mask [1, 2] is empty",
        "masks": listed(y.int()), "smooth": 1e-7,
        "heads": {"loss": float(dice(z, y)), "gradient": listed(grad)},
        "pool": {"note": "logits [:, 0] alone, against all three masks",
                 "loss": float(dice(one.expand(2, 3, 3, 4), y)), "gradient": listed(pooled)}}

    # Why a soft target must not meet the Dice loss: nine pixels of target 0.3.
    target = torch.full((1, 1, 3, 3), 0.3)
    rows = []
    for s in (0.05, 0.1, 0.3, 0.5, 0.9, 0.999):
        z = torch.full((1, 1, 3, 3), math.log(s / (1 - s)))
        rows.append({"s": s, "dice": float(dice(z, target)), "bce": float(bce(z, target))})
    assert min(rows, key=lambda r: r["dice"])["s"] == 0.999 and min(rows, key=lambda r: r["bce"])["s"] == 0.3
    OUT["soft_target_trap"] = {"target": 0.3, "pixels": 9, "rows": rows,
                               "note": "the Dice loss is least at s = 1, the cross-entropy at s = 0.3"}


def uncertainty():
    masks = torch.tensor([[[0, 0, 1, 1, 1, 0]], [[0, 1, 1, 1, 0, 0]], [[0, 0, 1, 0, 1, 0]], [[0, 0, 1, 1, 0, 1]]]).double()
    cases = []
    for experts in (1, 2, 3, 4):
        mean = masks[:experts].mean(0)
        cases.append({"experts": experts, "mean": listed(mean), "variation": listed(4 * mean * (1 - mean)),
                      "majority": listed((2 * masks[:experts].sum(0) > experts).int())})
    z = wave((1, 2, 1, 6), 0.8, 0.2, 1.5)
    mean = masks[:3].mean(0)
    target = torch.stack([mean, 4 * mean * (1 - mean)])[None]
    majority = (2 * masks[:3].sum(0) > 3).double()[None, None]

    def beside(z):
        return dice(z[:, :1], majority) + bce(z[:, 1:], target[:, 1:])

    [grad_mean] = checked(lambda z: bce(z, target[:, :1]), [z[:, :1]])
    [grad_beside] = checked(beside, [z])
    OUT["uncertainty"] = {
        "masks": listed(masks.int()), "targets": cases, "logits": listed(z),
        "mean": {"loss": float(bce(z[:, :1], target[:, :1])), "gradient": listed(grad_mean),
                 "note": "three experts; channel 0 of the logits"},
        "beside": {"loss": float(beside(z)), "gradient": listed(grad_beside),
                   "note": "three experts; Dice of channel 0 with the majority, smooth 1e-7, plus cross-entropy of channel 1 with the variation"}}


# ---- the probabilistic U-Net

def kl(q, p):
    """Of each sample: KL(q || p), with q = [mean, log sigma] of the posterior and p of the prior, [B, 2 d]."""
    d = q.shape[1] // 2
    mq, lq, mp, lp = q[:, :d], q[:, d:], p[:, :d], p[:, d:]
    return (lp - lq + (torch.exp(2 * lq) + (mq - mp) ** 2) / (2 * torch.exp(2 * lp)) - 0.5).sum(1)


def latent():
    cases = []
    for name, q, p in (
        ("equal", [[0.3, -0.2, 0.1, -0.5]], [[0.3, -0.2, 0.1, -0.5]]),
        ("two samples", [[0.5, -1.0, -0.2, 0.3], [0.0, 2.0, -1.0, 0.0]], [[0.1, 0.2, 0.0, -0.4], [0.0, 0.0, 0.0, 0.0]]),
        ("narrow posterior", [[0.0, 0.0, -6.0, -6.0]], [[0.0, 0.0, 0.0, 0.0]]),
        ("wide posterior", [[0.0, 0.0, 3.0, 3.0]], [[0.0, 0.0, 0.0, 0.0]]),
    ):
        q, p = torch.tensor(q), torch.tensor(p)
        normal = torch.distributions
        d = q.shape[1] // 2
        reference = normal.kl_divergence(
            normal.Independent(normal.Normal(q[:, :d], q[:, d:].exp()), 1),
            normal.Independent(normal.Normal(p[:, :d], p[:, d:].exp()), 1))
        assert torch.allclose(reference, kl(q, p), atol=1e-12)
        gq, gp = checked(lambda q, p: kl(q, p).mean(), [q, p], tolerance=1e-5)
        cases.append({"name": name, "posterior": listed(q), "prior": listed(p), "kl": listed(kl(q, p)),
                      "gradient_of_mean": {"posterior": listed(gq), "prior": listed(gp)}})
    q = torch.tensor([[0.5, -1.0, -0.2, 0.3], [0.0, 2.0, -1.0, 0.0]])
    noise = torch.tensor([[0.7, -1.3], [0.0, 2.1]])
    weights = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    z = q[:, :2] + torch.exp(q[:, 2:]) * noise
    [grad] = checked(lambda q: (weights * (q[:, :2] + torch.exp(q[:, 2:]) * noise)).sum(), [q])
    OUT["kl"] = {"layout": "[means, log sigmas]; d = 2", "cases": cases}
    OUT["draw"] = {"posterior": listed(q), "noise": listed(noise), "z": listed(z),
                   "upstream": listed(weights), "gradient": listed(grad)}


def comb(features, z, weights):
    """1x1 convolutions over [features, tiled z]: three with ReLU, one without."""
    x = torch.cat([features, z[:, :, None, None].expand(-1, -1, *features.shape[2:])], 1)
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2]):
        x = torch.relu(F.conv2d(x, weight, bias))
    return F.conv2d(x, weights[-2], weights[-1])


def comb_by_shift(features, z, weights):
    """The same: the latent enters as a shift of each channel of each sample."""
    f = features.shape[1]
    shift = F.conv2d(z[:, :, None, None], weights[0][:, f:], weights[1])
    x = torch.relu(F.conv2d(features, weights[0][:, :f]) + shift)
    for weight, bias in zip(weights[2:-2:2], weights[3:-2:2]):
        x = torch.relu(F.conv2d(x, weight, bias))
    return F.conv2d(x, weights[-2], weights[-1])


def comb_weights(f, d, c):
    shapes = [(c, f + d, 1, 1), (c,), (c, c, 1, 1), (c,), (c, c, 1, 1), (c,), (1, c, 1, 1), (1,)]
    return [wave(s, 0.61 + 0.07 * k, 0.2 * k, 0.6 if len(s) == 4 else 0.1) for k, s in enumerate(shapes)]


def decoder():
    f, d, c = 2, 2, 3
    features, z, weights = wave((2, f, 3, 3), 1.3, 0.4), torch.tensor([[0.4, -0.9], [-0.3, 1.2]]), comb_weights(f, d, c)
    y = (wave((2, 1, 3, 3), 2.1, 0.5) > 0).double()
    posterior = torch.tensor([[0.5, -1.0, -0.2, 0.3], [0.1, 0.8, -0.6, 0.0]])
    prior = torch.tensor([[0.1, 0.2, 0.0, -0.4], [-0.3, 0.4, 0.2, 0.1]])
    noise = torch.tensor([[0.7, -1.3], [0.2, 1.1]])
    logits = comb(features, z, weights)
    assert torch.allclose(logits, comb_by_shift(features, z, weights), atol=1e-14)
    OUT["comb"] = {
        "note": "weights k = 0.. of the list: 0.6 sin((0.61 + 0.07 k) i + 0.2 k) for convolutions, 0.1 sin(..) for biases; "
                "features sin(1.3 i + 0.4); the first convolution takes [features, z]",
        "features": listed(features), "z": listed(z), "weights": [listed(w) for w in weights], "logits": listed(logits)}
    pixels, beta = 9, 1.0

    def loss(features, posterior, prior, *weights):
        z = posterior[:, :d] + torch.exp(posterior[:, d:]) * noise
        return bce(comb(features, z, weights), y) + beta / pixels * kl(posterior, prior).mean()

    inputs = [features, posterior, prior, *weights]
    grads = checked(loss, inputs)
    z = posterior[:, :d] + torch.exp(posterior[:, d:]) * noise
    OUT["elbo"] = {
        "note": "features and weights as in `comb`, masks sin(2.1 i + 0.5) > 0, z = mean + sigma noise; "
                "loss = mean cross-entropy + beta / pixels * mean KL = (summed cross-entropy + beta KL) / pixels, mean over samples",
        "beta": beta, "pixels": pixels, "masks": listed(y.int()), "posterior": listed(posterior), "prior": listed(prior),
        "noise": listed(noise), "z": listed(z), "cross_entropy": float(bce(comb(features, z, weights), y)),
        "kl": listed(kl(posterior, prior)), "loss": float(loss(*inputs)),
        "gradients": {name: listed(g) for name, g in zip(
            ["features", "posterior", "prior"] + [f"weights[{k}]" for k in range(len(weights))], grads)}}


def gaussian_net(x, weights):
    """Four blocks of three 3x3 convolutions with ReLU, 2x2 means between them; the mean over pixels; a 1x1 convolution."""
    at = 0
    for block in range(4):
        if block > 0:
            x = F.avg_pool2d(x, 2)
        for _ in range(3):
            x = torch.relu(F.conv2d(x, weights[at], weights[at + 1], padding=1))
            at += 2
    return F.conv2d(x.mean((2, 3), keepdim=True), weights[at], weights[at + 1])[:, :, 0, 0]


def gaussians():
    width, side, found = 4, 16, []
    for name, inputs in (("prior", 1), ("posterior", 2)):
        shapes, cin = [], inputs
        for cout in gaussian_channels(width):
            for _ in range(3):
                shapes += [(cout, cin, 3, 3), (cout,)]
                cin = cout
        shapes += [(12, cin, 1, 1), (12,)]
        weights = []
        for k, s in enumerate(shapes):
            fan = int(np.prod(s[1:])) if len(s) == 4 else 0
            weights.append(wave(s, 0.71 + 0.013 * k, 0.3 * k, 1.8 / math.sqrt(fan) if fan else 0.05))
        assert sum(w.numel() for w in weights) == gaussian_count(inputs, width, 6)
        x = wave((2, inputs, side, side), 0.37, 0.1)
        if name == "posterior":
            x[:, 1] = (x[:, 1] > 0).double() - 0.5
        leaves = [w.clone().requires_grad_(True) for w in weights]
        y = gaussian_net(x, leaves)
        upstream = wave((2, 12), 1.1, 0.6)
        grads = torch.autograd.grad((y * upstream).sum(), leaves)
        found.append({
            "name": name, "inputs": inputs, "output": listed(y),
            "gradients": [{"shape": list(g.shape), "sum": float(g.sum()), "norm": float(g.norm()),
                           "first": listed(g.reshape(-1)[:3])} for g in grads]})
    OUT["gaussian_net"] = {
        "note": "width 4, so channels 2, 4, 8, 12; side 16; latent 6. Parameter k (weight, bias, weight, ...) is "
                "a sin((0.71 + 0.013 k) i + 0.3 k) with a = 1.8 / sqrt(fan in) for weights and 0.05 for biases; the input is "
                "sin(0.37 i + 0.1) over [2, inputs, 16, 16], its second channel (> 0) - 0.5; gradients are those of "
                "sum(output * sin(1.1 i + 0.6))",
        "nets": found}
    x = wave((1, 2, 4, 4), 0.9, 0.0)
    OUT["pooling"] = {"note": "sin(0.9 i) over [1, 2, 4, 4]", "mean_2x2": listed(F.avg_pool2d(x, 2)), "mean_of_all": listed(x.mean((2, 3)))}


def radam(gradients, lr, eps, beta1=0.9, beta2=0.999):
    p = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.RAdam([p], lr=lr, betas=(beta1, beta2), eps=eps)
    course = []
    for g in gradients:
        p.grad = torch.tensor([g])
        optimiser.step()
        course.append(float(p.detach()))
    return course


def scaled_optimiser():
    pixels = 4096
    gradients = [0.3 * math.sin(0.8 * t + 0.2) * pixels for t in range(12)]
    summed = radam(gradients, 1e-3, 1e-8)
    mean = radam([g / pixels for g in gradients], 1e-3, 1e-8 / pixels)
    late = [b - a for a, b in zip(summed[4:], summed[5:])]
    late_mean = [b - a for a, b in zip(mean[4:], mean[5:])]
    assert all(abs(a - b) < 1e-12 for a, b in zip(late, late_mean))
    assert abs(summed[0] / mean[0] - pixels) < 1e-6
    OUT["scaled_optimiser"] = {
        "note": "RAdam (torch) on gradients of a summed loss with eps, and of the same loss over its pixels with eps over pixels: from the "
                "sixth update on the same steps; the first five, which are not adapted, differ by the number of pixels",
        "pixels": pixels, "gradients_of_sum": gradients, "lr": 1e-3, "eps": 1e-8, "summed": summed, "over_pixels": mean}


# ---- fusion

TIE = 1e-9


def em(masks, most=100_000):
    """Warfield's EM as ITK runs it, over the patterns of decisions: [E, pixels] of 0 and 1."""
    experts = len(masks)
    patterns, counts = np.unique(masks.T, axis=0, return_counts=True)
    counts = counts.astype(float)
    w = patterns.mean(1)
    g = (w * counts).sum() / counts.sum()
    if g == 0 or g == 1:
        return None
    last = None
    for iteration in range(most):
        inside, outside = (w * counts).sum(), ((1 - w) * counts).sum()
        p = (patterns * (w * counts)[:, None]).sum(0) / inside
        q = ((1 - patterns) * ((1 - w) * counts)[:, None]).sum(0) / outside
        a = g * np.prod(np.where(patterns == 1, p, 1 - p), axis=1)
        b = (1 - g) * np.prod(np.where(patterns == 1, 1 - q, q), axis=1)
        w = a / (a + b)
        if last is not None and (np.concatenate([p - last[0], q - last[1]]) ** 2 <= 1e-14).all():
            break
        last = p, q
    return {"p": p, "q": q, "g": g, "patterns": patterns, "counts": counts, "w": w, "iterations": iteration}


def disk(cy, cx, r2, n=12):
    y, x = np.mgrid[0:n, 0:n]
    return ((y - cy) ** 2 + (x - cx) ** 2 <= r2).astype(np.uint8)


def staple():
    disks = [disk(*c) for c in ((5, 5, 16), (5, 6, 9), (6, 5, 25), (4, 5, 12), (6, 7, 16))]
    empty, full = np.zeros((12, 12), np.uint8), np.ones((12, 12), np.uint8)
    ring = disks[2] - disks[1]
    cases = [
        ("five disks", disks), ("three disks", disks[:3]), ("four disks", disks[:4]), ("a ring and two disks", [ring, disks[0], disks[2]]),
        ("identical", [disks[0]] * 3), ("one empty of three", [disks[0], disks[1], empty]),
        ("two empty of three", [disks[0], empty, empty]), ("one full of three", [disks[0], disks[1], full]),
        ("all empty", [empty] * 3), ("all full", [full] * 3), ("one rater", [disks[0]]),
        ("two nested", [disks[0], disks[1]]), ("two nested, larger second", [disks[0], disks[2]]),
        ("two that overlap", [disks[1], disks[3]]), ("two disjoint", [disk(3, 3, 4), disk(8, 8, 4)]),
    ]
    found = []
    for name, masks in cases:
        stack = np.stack([m.reshape(-1) for m in masks])
        votes = stack.sum(0)
        result = em(stack)
        entry = {"name": name, "masks": ["".join(map(str, m)) for m in stack], "votes_over_half": int((2 * votes > len(masks)).sum())}
        if result is None:
            entry |= {"degenerate": "empty" if votes.sum() == 0 else "full", "fused_size": int((votes == len(masks)).sum()) if votes.sum() else 0}
        else:
            keep = result["w"] > 0.5 + TIE
            lookup = {tuple(pattern): bool(k) for pattern, k in zip(result["patterns"], keep)}
            fused = np.array([lookup[tuple(column)] for column in stack.T])
            entry |= {
                "sensitivity": listed(result["p"]), "specificity": listed(result["q"]), "prior": float(result["g"]),
                "iterations": result["iterations"],
                "patterns": [{"votes": "".join(map(str, pattern)), "pixels": int(n), "w": float(v), "inside": bool(k)}
                             for pattern, n, v, k in zip(result["patterns"], result["counts"], result["w"], keep)],
                "fused_size": int(fused.sum()),
                "at_the_threshold": int(result["counts"][np.abs(result["w"] - 0.5) <= TIE].sum())}
            filter = sitk.STAPLEImageFilter()
            w = sitk.GetArrayFromImage(filter.Execute([sitk.GetImageFromArray(m) for m in masks])).reshape(-1)
            ours = {tuple(pattern): v for pattern, v in zip(result["patterns"], result["w"])}
            difference = max(abs(a - ours[tuple(column)]) for a, column in zip(w, stack.T))
            entry["simpleitk"] = {"iterations": filter.GetElapsedIterations(), "largest_difference_of_w": float(difference),
                                  "sensitivity": listed(filter.GetSensitivity()), "specificity": listed(filter.GetSpecificity()),
                                  "size_ge_half": int((w >= 0.5).sum())}
            assert difference < 1e-6, (name, difference)
        found.append(entry)
    OUT["staple"] = {
        "note": "12 x 12, row-major text of 0 and 1. W0 = mean, fixed prior g = mean(W0), stop when no squared change of p or q is above "
                "1e-14 (not after the first round); inside where w > 0.5 + 1e-9, so that a tie is background. All masks empty or "
                "all full: the fused mask is that mask, no EM.",
        "tolerance_of_w": 1e-6, "simpleitk_version": sitk.Version_VersionString(), "cases": found}
    OUT["majority"] = {
        "rule": "inside where 2 votes > experts; a tie is background",
        "rows": [{"experts": e, "inside_by_votes": [bool(2 * v > e) for v in range(e + 1)]} for e in range(1, 6)]}


def initial():
    rows = []
    for width in (64, 8, 4):
        f, c, d = width // 4, comb_width(width), 6
        head = {"layer": "head of one expert", "shape": [1, f, 3, 3], "law": "uniform", "bound": math.sqrt(6 / (9 * f + 9))}
        w = torch.empty(1, f, 3, 3)
        torch.nn.init.xavier_uniform_(w)
        assert w.abs().max() <= head["bound"]
        rows.append({"width": width, "layers": [
            head,
            {"layer": "three heads in one tensor: not this", "shape": [3, f, 3, 3], "bound": math.sqrt(6 / (9 * f + 27))},
            *({"layer": f"comb {k}", "shape": [c, i, 1, 1], "law": "normal", "sd": math.sqrt(2 / i)} for k, i in enumerate((f + d, c, c))),
            {"layer": "comb 3", "shape": [1, c, 1, 1], "law": "uniform", "bound": math.sqrt(6 / (c + 1))},
            *({"layer": f"prior block {k}, first convolution", "shape": [o, i, 3, 3], "law": "normal", "sd": math.sqrt(2 / (9 * i))}
              for k, (i, o) in enumerate(zip([1] + gaussian_channels(width), gaussian_channels(width)))),
            {"layer": "posterior block 0, first convolution", "shape": [width // 2, 2, 3, 3], "law": "normal", "sd": math.sqrt(2 / 18)},
            {"layer": "prior or posterior, last", "shape": [2 * d, 3 * width, 1, 1], "law": "normal", "sd": math.sqrt(2 / (3 * width))}]})
    OUT["initial"] = {"note": "biases 0; a tensor of one expert draws from seed.fork(name).fork(\"expert N\")", "rows": rows}


STARTS = [1, 4, 7, 10, 13, 16, 19, 22, 25, 28]


def matched(k, starts):
    combinations = list(itertools.combinations(range(1, 6), k))
    return [(start, combinations[r % len(combinations)], r // len(combinations)) for r, start in enumerate(starts)]


def pairings():
    OUT["matched"] = {
        str(k): [{"start": s, "annotators": "+".join(map(str, c)), "repeat": r} for s, c, r in matched(k, STARTS)]
        for k in range(1, 6)}


def main():
    for part in (sizes, losses, uncertainty, latent, decoder, gaussians, scaled_optimiser, staple, initial, pairings):
        part()
    path = Path(sys.argv[1]) / "methods.json"
    path.write_text(json.dumps(OUT, allow_nan=False, separators=(",", ":")) + "\n")
    print("wrote", path)


main()
