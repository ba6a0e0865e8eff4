"""Times expertgrid's training step against PyTorch's and its surface distances against MedPy's, in turns.

    python3 benches/peers.py [--rounds N] [--quick]

Installs the peers into a virtual environment under target/peers (a few GB, once). Every round runs both sides one after
the other on the same shapes; what counts is the ratio within a round, since machines are shared and drift. Prints a table
and writes it with the machine's description to results/bench/peers.md and peers.json. Called by `make bench-peers`.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / "target" / "peers"
PROGRAM = ROOT / "target" / "release" / "expertgrid"
PACKAGES = ["torch==2.*", "numpy", "scipy", "medpy==0.5.2"]
# Pretraining by other methods on the masks of several experts: method, experts, and the goals: our step over PyTorch's, and
# over our own for one expert's masks, at most.
METHODS = [
    ("heads", 3, 0.15, 1.15),
    ("pool", 3, 0.15, 1.15),
    ("uncertainty", 3, 0.15, 1.15),
    ("probabilistic", 1, 0.15, 3.2),
]
# Shape, threads, and the goal: our step over PyTorch's, at most.
STEPS = [
    ("8:64:16", 1, 0.15),
    ("32:96:16", 1, 0.35),
    ("64:192:16", 1, 0.50),
    ("64:192:16", 2, 0.50),
]


def in_venv():
    """Continues in the virtual environment, made where it is missing."""
    python = VENV / "bin" / "python"
    if Path(sys.executable) == python:
        return
    if not (VENV / "complete").exists():
        print(f"installing the peers into {VENV} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (VENV / "complete").touch()
    # Some machines steer an older OpenBLAS by these; they slow PyTorch's NumPy down.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    os.execv(python, [str(python), *sys.argv])


def network(width):
    """The network of the paper in PyTorch, with affine instance norm."""
    from torch import cat, nn
    from torch.nn.functional import interpolate, relu

    def conv(inputs, outputs, kernel=3, stride=1):
        return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)

    def norm(channels):
        return nn.InstanceNorm2d(channels, affine=True)

    class Basic(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.c1, self.n1 = conv(inputs, outputs, 3, stride), norm(outputs)
            self.c2, self.n2 = conv(outputs, outputs), norm(outputs)
            plain = stride == 1 and inputs == outputs
            self.shortcut = None if plain else nn.Sequential(conv(inputs, outputs, 1, stride), norm(outputs))

        def forward(self, x):
            short = x if self.shortcut is None else self.shortcut(x)
            return relu(self.n2(self.c2(relu(self.n1(self.c1(x))))) + short)

    class Decoder(nn.Module):
        def __init__(self, inputs, skip, outputs):
            super().__init__()
            self.c1, self.n1 = conv(inputs + skip, outputs), norm(outputs)
            self.c2, self.n2 = conv(outputs, outputs), norm(outputs)

        def forward(self, x, skip):
            x = interpolate(x, scale_factor=2, mode="nearest")
            if skip is not None:
                x = cat([x, skip], 1)
            return relu(self.n2(self.c2(relu(self.n1(self.c1(x))))))

    class UNet(nn.Module):
        def __init__(self, w):
            super().__init__()
            self.stem, self.norm = conv(1, w, 7, 2), norm(w)
            widths = [(w, w, 1), (w, 2 * w, 2), (2 * w, 4 * w, 2), (4 * w, 8 * w, 2)]
            self.layers = nn.ModuleList(
                nn.Sequential(Basic(i, o, s), Basic(o, o, 1)) for i, o, s in widths
            )
            outputs = [4 * w, 2 * w, w, w // 2, w // 4]
            inputs, skips = [8 * w, *outputs[:-1]], [4 * w, 2 * w, w, w, 0]
            self.blocks = nn.ModuleList(map(Decoder, inputs, skips, outputs))
            self.head = nn.Conv2d(outputs[-1], 1, 3, 1, 1)
            self.pool = nn.MaxPool2d(3, 2, 1)

        def forward(self, x):
            x = relu(self.norm(self.stem(x)))
            skips, x = [x], self.pool(x)
            for layer in self.layers:
                x = layer(x)
                skips.append(x)
            skips.pop()
            for block in self.blocks:
                x = block(x, skips.pop() if skips else None)
            return self.head(x)

    return UNet(width)


def torch_loss(net, method, experts):
    """The loss of a batch of images with the masks of some experts, [B, E, H, W], by a method; and its further modules."""
    import torch
    from torch import nn

    bce = nn.functional.binary_cross_entropy_with_logits

    def dice(logits, mask):
        s = torch.sigmoid(logits)
        sums = [(s * mask).sum((1, 2, 3)), s.sum((1, 2, 3)) + mask.sum((1, 2, 3))]
        return (1 - (2 * sums[0] + 1e-7) / (sums[1] + 1e-7)).mean()

    channels = net.head.in_channels
    if method == "customised":
        return lambda x, masks: dice(net(x), masks), []
    if method == "pool":

        def pool(x, masks):
            logits = net(x)
            return sum(dice(logits, masks[:, e : e + 1]) for e in range(experts)) / experts

        return pool, []
    if method == "uncertainty":
        return lambda x, masks: bce(net(x), masks.mean(1, keepdim=True)), []
    net.head = nn.Identity()
    if method == "heads":
        heads = nn.ModuleList(nn.Conv2d(channels, 1, 3, 1, 1) for _ in range(experts))

        def by_head(x, masks):
            features = net(x)
            return sum(dice(head(features), masks[:, e : e + 1]) for e, head in enumerate(heads)) / experts

        return by_head, [heads]
    sys.path.insert(0, str(ROOT / "tests" / "reference"))
    from parts.probabilistic import LATENT, Comb, Gaussian
    from torch.distributions import kl_divergence

    width = 4 * channels
    comb, prior, posterior = Comb(channels), Gaussian(1, width), Gaussian(2, width)
    nn.init.normal_(comb.latent[0], std=0.1)

    def bound(x, masks):
        features, before = net(x), prior(x)
        loss = 0
        for e in range(experts):
            mask = masks[:, e : e + 1]
            after = posterior(torch.cat([x, mask - 0.5], 1))
            z = after.mean + after.stddev * torch.randn(len(x), LATENT)
            divergence = kl_divergence(after, before).sum(1).mean()
            loss = loss + bce(comb(features, z), mask) + divergence / mask[0].numel()
        return loss / experts

    return bound, [comb, prior, posterior]


def torch_step(shape, threads, mode, method="customised", experts=1):
    """The median step in milliseconds and the peak memory in MiB, run in a process of its own."""
    import resource
    import time

    import torch

    width, size, batch = map(int, shape.split(":"))
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = network(width)
    x = torch.randn(batch, 1, size, size)
    masks = (torch.rand(batch, experts, size, size) > 0.5).float()
    loss, further = torch_loss(net, method, experts)
    if mode == "channels_last":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    loss = torch.compile(loss) if mode == "compile" else loss
    parameters = [p for module in [net, *further] for p in module.parameters()]
    optimiser = torch.optim.RAdam(parameters, lr=1e-3)
    times = []
    for _ in range(2 + (30 if width < 16 else 8 if width < 64 else 3)):
        started = time.perf_counter()
        optimiser.zero_grad()
        loss(x, masks).backward()
        optimiser.step()
        times.append(1e3 * (time.perf_counter() - started))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"step_ms": statistics.median(times[2:]), "peak_memory_mib": memory}))


def measured(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def ours(shape, threads, method="customised", experts=1):
    # About as long as the peer's steps take: the smallest shape goes on for two seconds by itself, since a neighbour's burst
    # on the same core lasts some tenths of one.
    steps = [] if shape.startswith("8:") else ["--steps", "8" if shape.startswith("32:") else "3"]
    how = ["--method", method, "--experts", str(experts)]
    return measured([PROGRAM, "bench", shape, "--threads", str(threads), *how, *steps, "--json"])[0]


def theirs(shape, threads, mode, method="customised", experts=1):
    return measured([sys.executable, __file__, "--step", shape, str(threads), mode, method, str(experts)])


def medpy_ms():
    """Milliseconds for ASSD and 95HD of the ring pair that benches/metric.rs scores."""
    import time

    import numpy as np
    from medpy.metric.binary import assd, hd95

    y, x = np.mgrid[0:256, 0:256]

    def ring(cy, cx, inner, outer):
        radius = np.hypot(y - cy, x - cx)
        return (radius >= inner) & (radius < outer)

    a, b = ring(128, 128, 42, 56), ring(131, 126, 40, 53)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        assd(a, b), hd95(a, b)
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def our_metric_ms():
    """The median that benches/metric.rs prints: the third figure of its row."""
    command = ["cargo", "bench", "--locked", "--bench", "metric", "--", "two_rings$"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    row = next(line for line in text.splitlines() if re.search(r"\btwo_rings\s", line))
    value, unit = row.split("│")[2].split()
    return float(value) * {"ns": 1e-6, "µs": 1e-3, "ms": 1.0}[unit]


def throughput():
    """How much more two runs on two cores get done than one run on one core: median and quartiles of forty rounds, each
    between two runs alone."""
    command = [PROGRAM, "bench", "8:64:16", "--steps", "60", "--json"]

    def alone():
        return measured(command)[0]["step_ms"]

    gains, before = [], alone()
    for _ in range(40):
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        together = [json.loads(run.communicate()[0])[0]["step_ms"] for run in both]
        after = alone()
        gains.append(sum((before + after) / 2 / step for step in together))
        before = after
    low, median, high = statistics.quantiles(gains, n=4)
    return [median, low, high]


def machine():
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, {platform.system()}"


def main():
    import torch

    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="the two small shapes only, without torch.compile")
    parser.add_argument("--only", help="measure the rows that hold this text, keep the others as they were measured last")
    options = parser.parse_args()
    steps = STEPS[:2] if options.quick else STEPS
    folder = ROOT / "results" / "bench"
    last = json.loads((folder / "peers.json").read_text()) if options.only else {"rows": []}
    rows = []

    def kept(what):
        """Whether a row is not to be measured; then it is taken over."""
        if not options.only or options.only in what:
            return False
        rows.extend(r for r in last["rows"] if r["what"] == what)
        return True

    def row(what, pairs, unit, goal):
        mine, other = (statistics.median(side) for side in zip(*pairs))
        ratio = statistics.median(a / b for a, b in pairs)
        rows.append({"what": what, "ours": mine, "peer": other, "unit": unit, "ratio": ratio, "goal": goal, "rounds": len(pairs)})
        print(f"{what}: {mine:.4g} against {other:.4g} {unit}, ratio {ratio:.3f} (goal {goal})", flush=True)

    for shape, threads, goal in steps:
        what, peak = f"step {shape}, {threads} thread(s), against PyTorch eager", f"peak memory of the process, {shape}"
        if kept(what):
            if shape == "64:192:16" and threads == 1:
                kept(peak)
            continue
        pairs, memory = [], []
        for _ in range(options.rounds):
            # The better of two on both sides: on a noisy machine one try would be no match for the best of several.
            tries = [ours(shape, threads)]
            modes = [theirs(shape, threads, mode) for mode in ("contiguous", "channels_last")]
            tries.append(ours(shape, threads))
            mine, best = (min(side, key=lambda measured: measured["step_ms"]) for side in (tries, modes))
            pairs.append((mine["step_ms"], best["step_ms"]))
            memory.append((mine["peak_memory_mib"], best["peak_memory_mib"]))
        row(what, pairs, "ms", goal)
        if shape == "64:192:16" and threads == 1:
            row(peak, memory, "MiB", 1.0)
    for method, experts, goal, factor in METHODS:
        masks = "one mask" if experts == 1 else f"{experts} masks"
        whats = [f"step of {method} on {masks}, 8:64:16, against {peer}" for peer in ("PyTorch eager", "ours on one expert's")]
        if all([kept(what) for what in whats]):
            continue
        peers, plain = [], []
        for _ in range(options.rounds):
            of = ("8:64:16", 1)
            alone, mine = [ours(*of)["step_ms"]], [ours(*of, method, experts)["step_ms"]]
            best = min(theirs(*of, mode, method, experts)["step_ms"] for mode in ("contiguous", "channels_last"))
            mine.append(ours(*of, method, experts)["step_ms"])
            alone.append(ours(*of)["step_ms"])
            peers.append((min(mine), best))
            plain.append((min(mine), min(alone)))
        row(whats[0], peers, "ms", goal)
        row(whats[1], plain, "ms", factor)
    what = "step 8:64:16, 1 thread(s), against torch.compile"
    if not options.quick and not kept(what):
        compiled = [(ours("8:64:16", 1)["step_ms"], theirs("8:64:16", 1, "compile")["step_ms"]) for _ in range(2)]
        row(what, compiled, "ms", 0.20)
    what = "ASSD and 95HD of a 256x256 pair, against MedPy"
    if not kept(what):
        row(what, [(our_metric_ms(), medpy_ms())], "ms", 0.05)
    # Asked for by the word `throughput`.
    again = not options.only or options.only in "throughput"
    gain = throughput() if again else last["two_runs_on_two_cores"]
    two = "Two runs on two cores do {:.2f} times the work of one run on one core (quartiles {:.2f} and {:.2f}; goal 1.9).".format(*gain)
    print(two, flush=True)

    folder.mkdir(parents=True, exist_ok=True)
    engine = measured([PROGRAM, "bench", "8:64:16", "--steps", "1", "--json"])[0]["engine"]
    about = {
        "machine": machine(),
        "engine": engine,
        "torch": f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}",
        "two_runs_on_two_cores": gain,
    }
    (folder / "peers.json").write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    how = " --quick" if options.quick else ""
    lines = [
        "# Against PyTorch and MedPy",
        "",
        f"{about['machine']}; expertgrid with {engine}; PyTorch {about['torch']} in the better of its two memory"
        f" formats; medians of rounds in which both sides take turns. Rows may be of different hours. Made by `benches/peers.py{how}`.",
        "",
        "| what | expertgrid | peer | unit | ratio | goal | rounds |",
        "|---|---:|---:|---|---:|---:|---:|",
    ]
    for r in rows:
        lines.append(
            f"| {r['what']} | {r['ours']:.4g} | {r['peer']:.4g} | {r['unit']} | {r['ratio']:.3f} | {r['goal']} | {r['rounds']} |"
        )
    lines += ["", two]
    (folder / "peers.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    in_venv()
    if sys.argv[1:2] == ["--step"]:
        torch_step(sys.argv[2], int(sys.argv[3]), *sys.argv[4:6], int(sys.argv[6]))
    else:
        main()
