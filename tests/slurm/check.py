#!/usr/bin/env python3
"""Sweeps on a real slurmctld: does the program keep what it promises?

    check.py PROGRAM [NAME...]      all checks, or those named ("pilots-stale" is four)
    check.py PROGRAM --short        those that take less than three minutes together
    check.py --list                 what there is, and what must hold

Starts the cluster of cluster.sh as root, runs the checks, and removes the cluster. With
EXPERTGRID_INSTALL=1 or CI=true it installs the packages that are missing. Beside another cluster, set SLURM_TEST_DIR and SLURM_TEST_PORT. A line per
check: its name, ok, FAILED or skipped, seconds, figures; below it what does not hold. Exit code:
0 all hold, 1 some do not, 77 this machine cannot have the cluster.
"""

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import traceback
from pathlib import Path

import checks_site  # noqa: F401, registers its checks
import checks_sweeps  # noqa: F401
from bench import CHECKS, Bench
from cluster import CannotRun, Cluster, Late

ROOT = Path(__file__).resolve().parents[2]


def main():
    asked = arguments()
    chosen = choose(asked)
    if asked.list:
        for one in chosen:
            print(f"{one.name}{' (short)' if one.short else ''}")
            print(textwrap.indent(textwrap.dedent("    " + one.contract), "    "))
        return 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    lock = open(f"/var/lock/expertgrid{str(Cluster().dir).replace('/', '-')}", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another check.py has this SLURM_TEST_DIR", file=sys.stderr)
        return 77
    return run(chosen, asked)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", help="the binary under test")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--experiments", type=Path, default=ROOT / "experiments")
    parser.add_argument("--short", action="store_true", help="only those that are quick")
    parser.add_argument("--list", action="store_true", help="print the checks and their contracts")
    parser.add_argument("--keep", type=Path, metavar="DIR",
                        help="copy logs, journals and tables of failed checks there")
    parser.add_argument("--by-hand", action="store_true",
                        help="`pilots` with an array of `run`s in place of `run --cluster`")
    asked = parser.parse_intermixed_args()
    if not asked.list and not (asked.program and os.access(asked.program, os.X_OK)):
        parser.error("PROGRAM must be an executable file")
    return asked


def choose(asked):
    """The checks that were asked for; those on the same kind of cluster follow each other."""
    chosen = []
    names = asked.names or list(CHECKS)
    for name in names:
        found = [one for one in CHECKS.values() if (one.name + "-").startswith(name + "-")]
        if not found:
            print(f"no check is called {name}: see --list", file=sys.stderr)
            sys.exit(2)
        chosen += [one for one in found if one not in chosen]
    if asked.short:
        chosen = [one for one in chosen if one.short]
        for one in chosen:  # one cluster, without a database
            one.kind = one.kind | {"accounting": "none"}
    if asked.by_hand:
        chosen = [one for one in chosen if one.name.startswith("pilots")]
    kinds = []
    for one in chosen:
        if one.kind not in kinds:
            kinds.append(one.kind)
    return sorted(chosen, key=lambda one: kinds.index(one.kind))


def interrupted(number, _):
    raise SystemExit(128 + number)


def run(chosen, asked):
    results, cluster, references, cannot = [], None, {}, {}
    program = Path(asked.program).resolve()
    try:
        Cluster().stop()
        for one in chosen:
            if str(one.kind) in cannot:
                results.append(tell(one, "skipped", 0, [cannot[str(one.kind)]]))
                continue
            try:
                if cluster is None or cluster.kind != one.kind:
                    if cluster:
                        cluster.stop()
                    cluster = prepared(one.kind, program, asked.experiments, asked.short)
            except CannotRun as why:
                cluster.stop() if cluster else None
                cluster, cannot[str(one.kind)] = None, str(why)
                results.append(tell(one, "skipped", 0, [str(why)]))
                continue
            bench = Bench(cluster, one.name, references, asked.by_hand)
            results.append(tell(one, *judged(one, bench, asked.keep)))
            try:
                cluster.clear()
            except (Late, RuntimeError) as trouble:
                print(f"    the cluster is started anew: {trouble}", flush=True)
                cluster.stop()
                cluster = None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        Cluster().stop()
    if "FAILED" in results:
        return 1
    return 77 if set(results) == {"skipped"} else 0


def prepared(kind, program, experiments, short):
    """A cluster of a kind whose shared folder has the program, the manifests and the data set.

    Where Slurm's daemons do not run, the short form, which is a test among others, cannot run."""
    cluster = Cluster(**kind)
    try:
        try:
            cluster.start()
        except RuntimeError as why:
            raise CannotRun(str(why)) if short else why
        shutil.copy(program, cluster.shared / "expertgrid")
        shutil.copytree(experiments, cluster.shared / "experiments")
        subprocess.run([cluster.shared / "expertgrid", "data", "phantom", "--out",
                        cluster.shared / "phantom"], check=True, capture_output=True)
    except BaseException:
        cluster.stop()
        raise
    return cluster


def judged(one, bench, keep):
    """Runs one check: how it ended, after how many seconds, and what to tell."""
    begin = time.monotonic()
    try:
        one.function(bench, *one.words)
    except (AssertionError, Late, RuntimeError, subprocess.SubprocessError) as trouble:
        bench.wrong.append(str(trouble))
    except Exception:
        bench.wrong.append(traceback.format_exc())
    finally:
        for sweep in bench.sweeps:
            sweep.close(keep if bench.wrong else None)
    seconds = time.monotonic() - begin
    return "FAILED" if bench.wrong else "ok", seconds, bench.figures, bench.wrong


def tell(one, how, seconds, figures, wrong=()):
    print(f"{one.name}: {how}, {seconds:.0f} s; {'; '.join(figures)}", flush=True)
    for words in wrong:
        print(textwrap.indent(words, "    "), flush=True)
    return how


if __name__ == "__main__":
    sys.exit(main())
