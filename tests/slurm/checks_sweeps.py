"""What must hold of a sweep by pilots, whatever happens to them: every stage once, to the bytes."""

import itertools
import os
import re
import signal
import time

from bench import CHECKS, Check, check
from cluster import descendants, holders, wait_until
from sweep import FEW, MANY, SLOW, tail

# --- every stage once, the same bytes


def pilots(bench, fs, mood, count):
    """Pilots compute every stage exactly once and leave one process's files, on every kind of
    file system whose locks are shared, also when a node loses power, another is cut off while its
    job goes on, and a third pilot is requeued (chaos)."""
    alone, seconds = bench.reference(MANY)
    count, cpus = int(count), 4 if int(count) <= 4 else 1
    sweep = bench.sweep(MANY, pilots=count, cpus=cpus)
    begin = time.monotonic()
    if bench.by_hand:
        sweep.by_hand(cpus, count)
        if mood == "chaos":
            disturb(bench, sweep)
        sweep.await_end(900)
    else:
        run = sweep.show("run")
        if mood == "chaos":
            disturb(bench, sweep)
        said = run.communicate(timeout=900)[0]
        bench.expect(run.returncode == 0, f"exit code {run.returncode}: {tail(said)}")
    bench.figure(f"{time.monotonic() - begin:.0f} s, one process {seconds:.0f} s")
    bench.well_ended(sweep)
    bench.each_once(sweep, MANY, killed=2 if mood == "chaos" else 0)


for _fs, _mood, _count in itertools.product(
        ["plain", "locks", "stale"], ["quiet", "chaos"], ["4", "12"]):
    _words = (_fs, _mood, _count)
    _name = "-".join(["pilots", *_words])
    CHECKS[_name] = Check(pilots, _name, {"fs": _fs, "accounting": "dbd"}, False, _words)


def disturb(bench, sweep):
    """A node loses power, another is cut off, a pilot is requeued: while stages are left."""
    cluster = bench.cluster
    finished = lambda: sum(sweep.tally().finished.values())
    sweep.await_finished(20)
    cluster.node("crash", "n2")
    time.sleep(4)
    cluster.node("up", "n2")
    sweep.await_finished(finished() + 10)
    cluster.node("lose", "n3")
    sweep.await_finished(finished() + 10)
    running = [job for job in sweep.pilots()
               if job["JobState"] == "RUNNING" and job.get("BatchHost") in ("n1", "n4")]
    if bench.expect(running, "no pilot left to be requeued"):
        job = running[0]
        cluster.slurm("scontrol", "requeue", f"{job['ArrayJobId']}_{job['ArrayTaskId']}")
    try:
        down = ["sinfo", "-h", "-N", "-t", "down", "-o", "%N"]
        noticed = lambda: "n3" in cluster.slurm(*down).split()
        wait_until(60, "a node that is down", lambda: noticed() or sweep.over())
    finally:
        cluster.node("find", "n3")
    bench.figure(f"disturbed until stage {finished()}")


@check(fs="nolocks")
def nolocks(bench):
    """Where locks hold within a node only, pilots find out, end with 78 and say the remedy; with
    claims = "shares" every stage is computed once."""
    sweep = bench.sweep(SLOW, suffix="-locks", pilots=4, cpus=4)
    done = sweep.call("run", seconds=400)
    sweep.await_end()
    codes = [job["ExitCode"] for job in sweep.pilots()]
    bench.figure(f"run: {done.returncode}, pilots: {' '.join(sorted(codes))}")
    # The last pilot has nobody left to share locks with: it may do all the rest.
    bench.expect(sum(code == "78:0" for code in codes) >= 3, f"exit codes of pilots: {codes}")
    bench.expect(set(codes) <= {"0:0", "78:0"}, f"exit codes of pilots: {codes}")
    # A record of a pilot that lives must not be taken for one of a pilot that died of the stage.
    failures = sum(sweep.tally().failed.values())
    bench.expect(failures == 0, f"{failures} stages are said to have failed")
    bench.expect("shares" in sweep.logs(), f"no remedy in the logs: {tail(sweep.logs())}")
    bench.expect("ended with an error" in done.stdout and "shares" in done.stdout,
                 f"`run` does not tell why pilots ended: {tail(done.stdout)}")
    bench.cluster.clear()
    sweep = bench.sweep(SLOW, suffix="-shares", pilots=4, cpus=4, claims="shares")
    bench.succeed(sweep.call("run", seconds=400))
    bench.well_ended(sweep)
    bench.each_once(sweep, SLOW)


@check()
def generations(bench):
    """With a limit of one minute, pilots stop in time, queue themselves again and go on, six times
    and more; a training that takes longer than a pilot has also ends."""
    selection = FEW + ["--set", "pretrain.steps=130000", "--set", "scratch.steps=12000",
                       "--set", "finetune.steps=3000"]
    sweep = bench.sweep(selection, pilots=2, time="1m", leave="20s", idle="2m")
    bench.succeed(sweep.call("run", seconds=1800))
    sweep.await_end(120)
    restarts = [int(job.get("Restarts", 0)) for job in sweep.pilots()]
    bench.figure(f"restarts {' '.join(map(str, restarts))}")
    bench.expect(max(restarts, default=0) >= 6, f"restarts of pilots: {restarts}")
    bench.well_ended(sweep)
    bench.each_once(sweep, selection)


# --- ends that were asked for


@check()
def cancel(bench):
    """`cancel` from another host ends pilots in good order and `cancel --now` at once; `run`
    goes on each time, and every stage is computed once."""
    sweep = bench.sweep(SLOW, cpus=4)
    bench.succeed(sweep.call("run", "--detach", seconds=60))
    sweep.await_finished(2)
    shown = sweep.call("status", node="n3", seconds=60)
    bench.expect("pilot" in shown.stdout, f"status from another host: {tail(shown.stdout)}")
    bench.succeed(sweep.call("cancel", node="n4", seconds=60))
    sweep.await_end(60)
    before = sum(sweep.tally().finished.values())
    bench.expect(before < 33, "all stages were finished before the pilots were cancelled")
    bench.expect(not sweep.left_aside(), f"left in store/tmp: {sweep.left_aside()[:3]}")
    bench.succeed(sweep.call("run", "--detach", seconds=60))
    sweep.await_finished(before + 2)
    bench.succeed(sweep.call("cancel", "--now", seconds=60))
    sweep.await_end(60)
    between = sum(sweep.tally().finished.values())
    bench.figure(f"cancelled after {before} and {between} of 33")
    bench.expect(between < 33, "all stages were finished before the pilots were cancelled")
    bench.succeed(sweep.call("run", seconds=400))
    bench.each_once(sweep, SLOW, killed=4)


@check(short=True)
def scancel(bench):
    """Pilots that are cancelled by hand, with scancel, lose nothing that is done: `run` goes on."""
    sweep = bench.sweep(SLOW, cpus=4)
    bench.succeed(sweep.call("run", "--detach", seconds=60))
    sweep.await_finished(2)
    bench.cluster.slurm("scancel", *sweep.arrays())
    sweep.await_end(60)
    before = sum(sweep.tally().finished.values())
    bench.figure(f"cancelled after {before} of 33")
    bench.expect(before < 33, "all stages were finished before the pilots were cancelled")
    bench.succeed(sweep.call("run", seconds=400))
    bench.each_once(sweep, SLOW, killed=4)


@check()
def preemption(bench):
    """Pilots that an urgent job preempts come back, whether they have a time of grace or not."""
    for partition in ["main", "graceful"]:
        sweep = bench.sweep(SLOW, suffix=f"-{partition}", cpus=4, partition=partition)
        run = sweep.show("run")
        sweep.await_finished(2)
        bench.cluster.slurm("sbatch", "-p", "urgent", "-N2", "-c4", "-t1", "-o", "/dev/null",
                            "-J", "urgent", "--wrap", "sleep 3")
        said = run.communicate(timeout=400)[0]
        bench.expect(run.returncode == 0, f"exit code {run.returncode}: {tail(said)}")
        sweep.await_end(120)
        restarts = sum(int(job.get("Restarts", 0)) for job in sweep.pilots())
        bench.figure(f"{partition}: {restarts} restarts")
        bench.expect(restarts >= 1, f"no pilot was preempted: {sweep.states()}")
        bench.well_ended(sweep)
        bench.each_once(sweep, SLOW, killed=2)
        bench.cluster.clear()


# --- stages that fail


@check()
def poison(bench):
    """A stage that takes its pilot with it, as the kernel does when memory is short, is tried
    retries + 1 times by all pilots together, then reported; the others are done.

    From outside: whoever starts the chosen stage is killed, with all its processes."""
    sweep = bench.sweep(SLOW, pilots=6, cpus=2)
    run = sweep.show("run", "--retries", "2")
    victim, kills = None, 0
    end_at = time.monotonic() + 400
    while run.poll() is None and time.monotonic() < end_at:
        counts = sweep.tally()
        if victim is None:
            scratch = [stage for stage in counts.started if counts.kinds[stage] == "scratch"]
            victim = scratch[0] if scratch else None
        if victim and counts.started[victim] > kills:
            kills += kill_who_runs(sweep, victim)
        time.sleep(0.1)
    said = run.communicate(timeout=30)[0]
    sweep.await_end(120)
    counts = sweep.tally()
    bench.figure(f"{counts.started[victim]} tries, {kills} kills")
    bench.expect(counts.finished[victim] == 0, "the victim was finished: it was not killed in time")
    bench.expect(counts.started[victim] == kills == 3, "not tried three times")
    bench.expect(run.returncode == 1, f"exit code {run.returncode}: {tail(said)}")
    told = [path for folder in sweep.folders() for path in folder.glob(f"failed/{victim}*")]
    bench.expect(len(told) == 1, f"its failure is told in {len(told)} files")
    stages, left = sweep.stages()
    bench.expect(left == 2, f"{left} stages are left instead of the victim and its evaluation")
    bench.expect(counts.again() == 0, f"computed more than once: {counts.again()}")


def kill_who_runs(sweep, stage):
    """Kills the pilot that started a stage last, with its workers; how many were killed."""
    for path in sweep.results.glob("*/*/journal/*.jsonl"):
        text = path.read_text(errors="replace")
        if re.search(r'"started":\{"stage":"' + stage, text):
            for pilot in holders(path):
                for process in reversed(descendants(pilot)):
                    os.kill(process, signal.SIGKILL)
                return 1
    return 0


@check(short=True)
def failing(bench):
    """A stage that fails by itself, here a training that diverges, is tried once in all, not once
    by every pilot; the others are done, and `run` and a pilot end with 1."""
    sweep = bench.sweep(FEW + ["--set", "scratch.lr=1e30"], pilots=8, cpus=2)
    done = sweep.call("run", seconds=120)
    bench.succeed(done, 1)
    sweep.await_end()
    counts = sweep.tally()
    bench.figure(f"{len(counts.failed)} stages failed, {sum(counts.failed.values())} times")
    bench.expect(len(counts.failed) == 8, "not the eight trainings alone failed")
    bench.expect(max(counts.failed.values(), default=0) == 1, "some were tried again")
    bench.expect(len(counts.finished) == 17, f"{len(counts.finished)} of 17 others are finished")
    bench.expect("diverged" in done.stdout, f"the reason is not told: {tail(done.stdout)}")
    codes = sorted({job["ExitCode"] for job in sweep.pilots()})
    bench.expect(set(codes) <= {"0:0", "1:0"} and "1:0" in codes, f"exit codes of pilots: {codes}")
