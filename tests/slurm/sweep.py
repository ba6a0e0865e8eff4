"""A sweep on the test cluster: the program's command lines, its journals, its files.

It knows the program's commands and its results folder, and nothing of what must hold.
"""

import collections
import dataclasses
import hashlib
import json
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

from cluster import ENDED, HERE, wait_until

# 450 stages, about two minutes of one core: 10 pretrainings, 220 trainings, 220 evaluations.
MANY = ["--profile", "phantom", "--only", "n=5", "--set", "pretrain.steps=60",
        "--set", "scratch.steps=30", "--set", "finetune.steps=25"]
# 33 stages: 17 trainings and 16 evaluations. A second; about a minute of one core.
FEW = ["--profile", "smoke"]
SLOW = FEW + ["--set", "pretrain.steps=300", "--set", "scratch.steps=2000",
              "--set", "finetune.steps=1000"]


@dataclasses.dataclass
class Tally:
    """What all journals of a results folder tell, by stage."""

    started: collections.Counter
    finished: collections.Counter
    failed: collections.Counter
    kinds: dict
    torn: int

    def again(self):
        """How many stages were computed more than once."""
        return sum(count > 1 for count in self.finished.values())


def tally(results):
    """Reads all journals below a results folder."""
    counts = {name: collections.Counter() for name in ["started", "finished", "failed"]}
    kinds, torn = {}, 0
    for path in journals(results):
        # What follows the last end of a line is being written now.
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                event = json.loads(line)["event"]
            except (ValueError, KeyError, TypeError):
                torn += 1
                continue
            for name in counts.keys() & set(event):
                counts[name][event[name]["stage"]] += 1
                if "subject" in event[name]:
                    kinds[event[name]["stage"]] = event[name]["subject"]["kind"]
    return Tally(**counts, kinds=kinds, torn=torn)


def journals(results):
    """One per process; one for all of them in programs without pilots."""
    return [*results.glob("*/*/journal/*.jsonl"), *results.glob("*/*/journal.jsonl")]


def files(results):
    """The digest of every file that must not depend on how a sweep was run."""
    aside = ("store/claims/", "store/tmp/", "store/partial/", "logs/", "cluster/")
    found = {}
    for folder, _, names in os.walk(results):
        for name in names:
            path = Path(folder, name)
            short = str(path.relative_to(results))
            if not short.startswith(aside) and not name.endswith((".jsonl", ".html")):
                found[short] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


class Sweep:
    """A selection of runs with a folder of its own, whose results folder pilots share."""

    def __init__(self, cluster, name, selection, *, manifests=("table2",), results=None, **keys):
        self.cluster = cluster
        self.work = cluster.shared / name
        self.results = Path(results or self.work / "results")
        self.work.mkdir(exist_ok=True)
        self.work.chmod(0o777)
        self.selection = [str(cluster.shared / "experiments" / f"{m}.toml") for m in manifests]
        self.selection += [*selection, "--dataset", str(cluster.shared / "phantom")]
        self.selection += ["--results", str(self.results)]
        self.older = {job["JobId"] for job in cluster.jobs()}
        self.shown = []
        self.configure(**keys)

    def configure(self, **keys):
        """Writes clusters.toml: short times, unless `keys` say otherwise."""
        short = {"scheduler": "slurm", "time": "5m", "leave": "1m", "idle": "30s", "pilots": 4}
        keys = short | keys
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        (self.work / "clusters.toml").write_text("\n".join(["[test]", *lines]) + "\n")

    def command(self, what, *words):
        """A command line of the program's."""
        on = ["--cluster", "test"] if what == "run" else []
        return [str(self.cluster.shared / "expertgrid"), what, *self.selection, *on, *words]

    def environment(self, **more):
        env = self.cluster.env | {"PATH": self.cluster.path(), "HOME": str(self.work)}
        return {name: value for name, value in env.items() if name != "XDG_CONFIG_HOME"} | more

    def call(self, what, *words, seconds=300, node=None, **env):
        """Runs a command of the program's to its end, on this machine or on a node."""
        begin = time.monotonic()
        process = self.show(what, *words, node=node, **env)
        try:
            said = process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            end(process)
            said = process.communicate()[0]
            raise AssertionError(f"{what} did not end within {seconds} s: {tail(said)}") from None
        done = subprocess.CompletedProcess(process.args, process.returncode, said)
        done.seconds = time.monotonic() - begin
        return done

    def show(self, what, *words, node=None, user=None, **env):
        """Starts a command of the program's and returns at once."""
        call = self.command(what, *words)
        if node:
            call = [str(HERE / "node.sh"), "exec", node, "env", "-C", str(self.work), *call]
        options = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": [],
                   "umask": 0} if user else {}
        process = subprocess.Popen(
            call, cwd=self.work, env=self.environment(**env), stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
        self.shown.append(process)
        return process

    def one_process(self):
        """The same runs by one process, without the cluster."""
        call = [word for word in self.command("run") if word not in ("--cluster", "test")]
        subprocess.run(call, cwd=self.work, env=self.environment(), check=True,
                       capture_output=True)

    def by_hand(self, cpus, pilots):
        """The same runs by an array of ordinary `run`s, until it has left the queue."""
        script = self.work / "pilot.sh"
        call = [word for word in self.command("run") if word not in ("--cluster", "test")]
        script.write_text("#!/bin/bash\n" + f"cd {self.work}\nexec {shlex.join(call)} --jobs 1\n")
        (self.work / "log").mkdir()
        job = self.cluster.slurm(
            "sbatch", "--parsable", f"-c{cpus}", f"--array=0-{pilots - 1}", "--requeue",
            "--open-mode=append", "-J", "eg-by-hand", "-o", f"{self.work}/log/%A_%a", script)
        return job.split(";")[0]

    def tally(self):
        return tally(self.results)

    def files(self):
        return files(self.results)

    def stages(self):
        """How many stages the sweep has, and how many of them have no artefact."""
        done = subprocess.run(self.command("plan", "--json"), cwd=self.work, check=True,
                              env=self.environment(), capture_output=True, text=True)
        kinds = json.loads(done.stdout)["stages"].values()
        return sum(kind["distinct"] for kind in kinds), sum(kind["left"] for kind in kinds)

    def pilots(self):
        """Its jobs, an entry per element (those that never started may share one)."""
        return [job for job in self.cluster.jobs()
                if job["JobName"].startswith("eg-") and job["JobId"] not in self.older]

    def states(self):
        """How many pilots are in which state; CANCELLED are only those that were running."""
        unused = lambda job: job["JobState"] == "CANCELLED" and job["RunTime"] == "00:00:00"
        return collections.Counter(
            "not needed" if unused(job) else job["JobState"] for job in self.pilots())

    def arrays(self):
        return {job.get("ArrayJobId", job["JobId"]) for job in self.pilots()}

    def over(self):
        """Whether no pilot is in the queue or running."""
        return all(job["JobState"] in ENDED for job in self.pilots())

    def await_end(self, seconds=60):
        wait_until(seconds, "the end of all pilots", self.over, 0.5)

    def await_finished(self, count, seconds=240):
        """Until so many stages are finished."""
        enough = lambda: sum(self.tally().finished.values()) >= count
        wait_until(seconds, f"{count} finished stages", enough, 0.2)

    def folders(self):
        """results/cluster/<name>, one for each sweep of a user."""
        return sorted(path for path in (self.results / "cluster").glob("*") if path.is_dir())

    def logs(self):
        """What all pilots said."""
        paths = [*self.results.glob("cluster/*/pilots/*.log"), *self.work.glob("log/*")]
        return "".join(path.read_text(errors="replace") for path in sorted(paths))

    def left_aside(self):
        """What is left in the folder for what is half-written."""
        aside = self.results / "store/tmp"
        return sorted(os.listdir(aside)) if aside.is_dir() else []

    def close(self, keep=None):
        """Ends what it started; copies its folder, but the store, to `keep`."""
        for process in self.shown:
            end(process)
        if keep and self.work.is_dir():
            aside = shutil.ignore_patterns("store")
            target = Path(keep) / self.work.name
            shutil.copytree(self.work, target, ignore=aside, dirs_exist_ok=True)
        shutil.rmtree(self.work, ignore_errors=True)


def end(process):
    """Asks a process that this one started to end, then makes it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def tail(text, count=5):
    return " | ".join(text.strip().splitlines()[-count:])
