"""The test cluster as an object: starting it, disturbing it, Slurm's commands and a log of them.

It knows cluster.sh and node.sh, and nothing of the program under test.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMMANDS = ["sbatch", "squeue", "scontrol", "scancel", "sacct", "sinfo"]
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "TIMEOUT",
}


class CannotRun(Exception):
    """This machine cannot have such a cluster; the message says why."""


class Late(Exception):
    """Something did not happen in time."""


def wait_until(seconds, what, condition, pause=0.3):
    """What `condition` returns when it is first true; `Late` where it is not in `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise Late(f"{what}: not within {seconds} s")
        time.sleep(pause)


def descendants(process):
    """A process and all below it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def holders(path):
    """The processes that have a file open, whatever their node; not where nodes see it by FUSE."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == str(path):
                found.add(int(link.parts[2]))
        except OSError:
            continue
    return found


class Cluster:
    """A cluster of one kind: settings of cluster.sh without their prefix, in lower case."""

    def __init__(self, **kind):
        self.kind = kind
        self.dir = Path(os.environ.get("SLURM_TEST_DIR", "/srv/slurm-test"))
        self.shared = self.dir / "shared"
        self.calls_log = self.shared / "calls"
        settings = {f"SLURM_TEST_{name.upper()}": str(value) for name, value in kind.items()}
        foreign = re.compile("(?!SLURM_TEST_)(SLURM|SBATCH|SQUEUE|SCANCEL|SACCT|SCONTROL|SRUN)_")
        kept = {name: value for name, value in os.environ.items() if not foreign.match(name)}
        self.env = kept | settings | {
            "SLURM_TEST_DIR": str(self.dir),
            "SLURM_CONF": str(self.dir / "conf/slurm.conf"),
        }

    def start(self):
        """Starts it, or whatever of it has died."""
        started = self._script("cluster.sh", "start")
        if started.returncode == 77:
            raise CannotRun(started.stderr.strip().rsplit("cannot run here: ", 1)[-1])
        if started.returncode:
            raise RuntimeError(f"the cluster did not start:\n{started.stderr}")
        if not self.calls_log.exists():
            self.calls_log.touch()
            self.calls_log.chmod(0o666)
            (self.shared / "bin").mkdir()
            for name in COMMANDS:
                self.wrap(name)

    def stop(self):
        self._script("cluster.sh", "stop")

    def _script(self, name, *words):
        call = [HERE / name, *words]
        return subprocess.run(call, env=self.env, capture_output=True, text=True)

    def node(self, what, node, *words):
        """One of node.sh's words, for one node."""
        done = self._script("node.sh", what, node, *words)
        if what != "exec" and done.returncode:
            raise RuntimeError(f"node.sh {what} {node}: {done.stderr}")
        return done

    def kill(self, daemon):
        """A daemon of the whole cluster, slurmctld or slurmdbd, without warning."""
        pid = int((self.dir / f"run/{daemon}.pid").read_text())
        os.kill(pid, 9)
        command_line = Path(f"/proc/{pid}/cmdline")
        gone = lambda: not command_line.exists() or not command_line.read_bytes()
        wait_until(10, f"the end of {daemon}", gone, 0.05)

    def wrap(self, name, instead='exec "$real" "$@"'):
        """Puts a script before a command of Slurm's that notes the call, then runs `instead`."""
        real = shutil.which(name, path="/usr/bin:/usr/local/bin:/usr/sbin")
        script = self.shared / "bin" / name
        lines = [
            "#!/bin/sh",
            f'echo "$(date +%s.%N) $(hostname) {name} $*" >> {self.calls_log}',
            f"real={real}",
            instead,
        ]
        script.with_suffix(".new").write_text("\n".join(lines) + "\n")
        script.with_suffix(".new").chmod(0o755)
        script.with_suffix(".new").rename(script)

    def calls(self, name, since=0.0):
        """When this machine, not a node, called a command of Slurm's after a time."""
        lines = [line.split(maxsplit=3) for line in self.calls_log.read_text().splitlines()]
        here = socket.gethostname()
        return [
            float(line[0]) for line in lines if line[1:3] == [here, name] and float(line[0]) > since
        ]

    def path(self):
        """A PATH with the wrapped commands first."""
        return f"{self.shared}/bin:{self.env['PATH']}"

    def slurm(self, *call, env=None):
        """What a command of Slurm's prints; an error where it fails."""
        env = self.env | (env or {})
        done = subprocess.run(call, env=env, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, call))}: {done.stderr.strip()}")
        return done.stdout.strip()

    def jobs(self):
        """Every job that Slurm remembers, ended ones too: the fields of `scontrol show job`."""
        shown = self.slurm("scontrol", "-o", "show", "job")
        lines = [line for line in shown.splitlines() if line.startswith("JobId=")]
        return [dict(re.findall(r"(?<!\S)([A-Za-z:/]+)=(\S*)", line)) for line in lines]

    def clear(self):
        """No job, all daemons and nodes as at the beginning."""
        for name in COMMANDS:
            self.wrap(name)
        self.start()
        for node in range(1, 5):
            if not self.node("exec", f"n{node}", "pgrep", "-x", "slurmd").stdout:
                self.node("find", f"n{node}")
        alive = lambda: self.slurm("squeue", "-h", "-o", "%A").split()
        if ids := alive():
            self.slurm("scancel", *ids)
            wait_until(60, "an empty queue", lambda: not alive())
        nodes = ["squeue", "-h", "-t", "CG"]
        wait_until(30, "the end of epilogs", lambda: not self.slurm(*nodes))
