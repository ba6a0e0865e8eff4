"""What must hold of sweeps on Slurm: one function per check, with its contract as docstring.

A check takes a `Bench` and tells it what it expects and what it measured. `@check` says which
cluster it needs; the name on the command line is the function's, with hyphens.
"""

import itertools
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from cluster import descendants, holders, wait_until
from sweep import FEW, MANY, SLOW, Sweep, files, tail

CHECKS = {}


class Check:
    def __init__(self, function, name, kind, short, words=()):
        self.function, self.name, self.kind = function, name, kind
        self.short, self.words = short, words
        self.contract = function.__doc__


def check(short=False, **kind):
    """Registers a check on a cluster of this kind; `short` ones take less than half a minute."""
    kind = {"fs": "plain", "accounting": "dbd"} | kind

    def register(function):
        name = function.__name__.replace("_", "-")
        CHECKS[name] = Check(function, name, kind, short)
        return function
    return register


class Bench:
    """Where a check runs: a cluster, sweeps on it, and what was expected and measured."""

    def __init__(self, cluster, name, references, by_hand=False):
        self.cluster, self.name, self.references, self.by_hand = cluster, name, references, by_hand
        self.wrong, self.figures, self.sweeps = [], [], []

    def expect(self, holds, words):
        """Notes what does not hold; the check goes on."""
        if not holds:
            self.wrong.append(words)
        return holds

    def figure(self, words):
        self.figures.append(words)

    def sweep(self, selection, suffix="", **options):
        sweep = Sweep(self.cluster, self.name + suffix, selection, **options)
        self.sweeps.append(sweep)
        return sweep

    def reference(self, selection):
        """The files of one process that does the same, computed once per call of check.py."""
        name = " ".join(selection)
        if name not in self.references:
            alone = Sweep(self.cluster, "alone", selection)
            begin = time.monotonic()
            alone.one_process()
            self.references[name] = alone.files(), time.monotonic() - begin
            alone.close()
        return self.references[name]

    def succeed(self, done, code=0):
        """Expects an exit code of a command of the program's."""
        self.expect(done.returncode == code,
                    f"exit code {done.returncode} instead of {code}: {tail(done.stdout)}")

    def each_once(self, sweep, selection=None, *, killed=0, aside=True):
        """Expects that every stage was computed once and that the files are one process's.

        A process that was killed between publishing a stage and noting it leaves no event: as
        many stages as were `killed` may be without one. They are in the store all the same.
        """
        counts = sweep.tally()
        stages, left = sweep.stages()
        again = {stage: count for stage, count in counts.finished.items() if count > 1}
        computed = sum(counts.finished.values())
        self.figure(f"{stages} stages, {computed} computations, {len(again)} more than once")
        self.expect(left == 0, f"{left} stages have no artefact")
        self.expect(not again, f"computed more than once: {len(again)} stages")
        self.expect(len(counts.finished) >= stages - killed,
                    f"{stages - len(counts.finished)} stages have no event `finished`")
        self.expect(counts.torn == 0, f"{counts.torn} torn lines")
        failures = sum(counts.failed.values())
        self.expect(failures == 0, f"{failures} stages failed")
        if aside:
            rest = sweep.left_aside()
            self.expect(not rest, f"left in store/tmp: {rest[:3]}")
        if selection:
            one, several = self.reference(selection)[0], sweep.files()
            paths = sorted(path for path in one.keys() | several.keys()
                           if one.get(path) != several.get(path))
            self.expect(not paths, f"{len(paths)} files differ from one process's: {paths[:3]}")
            self.figure(f"{len(one)} files, {len(paths)} differ")

    def well_ended(self, sweep):
        """Expects that no pilot has failed or was killed."""
        sweep.await_end()
        found = sweep.states()
        self.figure(", ".join(f"{count} {state}" for state, count in sorted(found.items())))
        self.expect(found.keys() <= {"COMPLETED", "not needed"}, f"states: {dict(found)}")


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
    bench.cluster.clear()
    sweep = bench.sweep(SLOW, suffix="-shares", pilots=4, cpus=4, claims="shares")
    bench.succeed(sweep.call("run", seconds=400))
    bench.well_ended(sweep)
    bench.each_once(sweep, SLOW)


@check()
def generations(bench):
    """With a limit of one minute, pilots stop in time, queue themselves again and go on; a
    training that takes longer than a pilot has also ends."""
    selection = FEW + ["--set", "pretrain.steps=20000", "--set", "scratch.steps=4000",
                       "--set", "finetune.steps=1000"]
    sweep = bench.sweep(selection, pilots=2, time="1m", leave="20s", idle="2m")
    bench.succeed(sweep.call("run", seconds=900))
    sweep.await_end(120)
    restarts = [int(job.get("Restarts", 0)) for job in sweep.pilots()]
    bench.figure(f"restarts {' '.join(map(str, restarts))}")
    bench.expect(max(restarts, default=0) >= 2, f"restarts of pilots: {restarts}")
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


# --- submission


@check(short=True)
def twice(bench):
    """`run` a second time, while its pilots are in the queue, submits nothing; when all is done,
    neither."""
    sweep = bench.sweep(SLOW, pilots=2, cpus=4)
    begin = time.time()
    bench.succeed(sweep.call("run", "--detach", seconds=60))
    bench.succeed(sweep.call("run", "--detach", seconds=60))
    bench.succeed(sweep.call("run", seconds=400))
    bench.succeed(sweep.call("run", seconds=60))
    calls = bench.cluster.calls("sbatch", begin)
    bench.figure(f"{len(calls)} calls of sbatch, {len(sweep.arrays())} arrays")
    bench.expect(len(calls) == 1, f"{len(calls)} calls of sbatch")
    bench.expect(len(sweep.arrays()) == 1, f"{len(sweep.arrays())} arrays")
    bench.well_ended(sweep)
    bench.each_once(sweep, SLOW)


@check(short=True)
def accepted(bench):
    """An sbatch that submits, then says that it timed out, leads to one array, not to two."""
    mark = bench.cluster.shared / "accepted"
    bench.cluster.wrap("sbatch", f"""[ -e {mark} ] && exec "$real" "$@"
touch {mark}
"$real" "$@" >/dev/null
echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
exit 1""")
    sweep = bench.sweep(FEW, cpus=4)
    first = sweep.call("run", "--detach", seconds=60)
    done = sweep.call("run", seconds=120)
    bench.figure(f"first call: {first.returncode}, {len(sweep.arrays())} arrays")
    bench.succeed(done)
    bench.expect(len(sweep.arrays()) == 1, f"{len(sweep.arrays())} arrays")
    bench.well_ended(sweep)
    bench.each_once(sweep, FEW)


@check(short=True)
def inside(bench):
    """A sweep that is submitted from within a job, with variables of Slurm's commands set, has
    the same pilots: nothing of the outer job or of the variables reaches them."""
    sweep = bench.sweep(FEW, cpus=4)
    seen = sweep.work / "seen"
    seen.mkdir()
    sweep.configure(cpus=2, before=[f"env > {seen}/$SLURM_ARRAY_TASK_ID"])
    misleading = {
        "SBATCH_PARTITION": "nosuch", "SBATCH_JOB_NAME": "wrong", "SBATCH_ARRAY_INX": "0-99",
        "SBATCH_OUTPUT": "/nowhere/log", "SQUEUE_FORMAT": "%j", "SQUEUE_STATES": "COMPLETED",
        "SCANCEL_STATE": "PENDING", "SRUN_CPUS_PER_TASK": "3",
    }
    exports = "".join(f"export {name}={value}\n" for name, value in misleading.items())
    outer = sweep.work / "outer.sh"
    call = " ".join(f"'{word}'" for word in sweep.command("run", "--detach"))
    outer.write_text(f"#!/bin/bash\n{exports}cd {sweep.work}\n"
                     f"export PATH={bench.cluster.path()} HOME={sweep.work}\n{call}\n")
    job = bench.cluster.slurm("sbatch", "--parsable", "-n2", "--mem-per-cpu=77", "-J", "outer",
                              "-o", f"{sweep.work}/outer.log", outer)
    state = lambda: next(j["JobState"] for j in bench.cluster.jobs() if j["JobId"] == job)
    wait_until(60, "the end of the outer job", lambda: state() not in ("PENDING", "RUNNING"))
    said = (sweep.work / "outer.log").read_text()
    bench.expect(state() == "COMPLETED", f"the outer job: {state()}: {tail(said)}")
    bench.succeed(sweep.call("run", seconds=120, **misleading))
    bench.expect(len(sweep.arrays()) == 1, f"{len(sweep.arrays())} arrays")
    bench.well_ended(sweep)
    lines = {line for path in seen.iterdir() for line in path.read_text().splitlines()}
    leaked = sorted(line for line in lines if re.match(
        "SBATCH_|SQUEUE_|SCANCEL_|SRUN_|SLURM_NTASKS=2|SLURM_MEM_PER_CPU=77|SLURM_NPROCS=2", line))
    bench.figure(f"{len(lines)} variables seen, {len(leaked)} of them leaked")
    bench.expect(lines, "the lines `before` were not run")
    bench.expect(not leaked, f"variables of the outer job: {leaked[:5]}")
    bench.each_once(sweep, FEW)


@check(short=True)
def submit_speed(bench):
    """2,041 trainings are submitted in under two seconds with one sbatch, and a display that runs
    asks squeue at most once in 30 s; ending the display cancels nothing."""
    sweep = bench.sweep([], manifests=["table1", "table2", "table3"], pilots=32,
                        sbatch=["--hold"])
    for attempt in range(3):  # the machine may be busy: the fastest counts
        begin = time.time()
        done = sweep.call("run", "--detach", seconds=60)
        sent = len(bench.cluster.calls("sbatch", begin))
        bench.succeed(done)
        bench.expect(sent == 1, f"{sent} calls of sbatch")
        if done.seconds < 2 or attempt == 2:
            break
        bench.succeed(sweep.call("cancel", "--now", seconds=60))
        sweep.await_end()
    bench.figure(f"submitted in {done.seconds:.2f} s by {sent} sbatch")
    bench.expect(done.seconds < 2, f"submission took {done.seconds:.1f} s")
    run = sweep.show("run")
    time.sleep(3)
    begin = time.time()
    time.sleep(33)
    asked = len(bench.cluster.calls("squeue", begin))
    bench.figure(f"{asked} squeue in 33 s")
    bench.expect(asked <= 2, f"{asked} calls of squeue in 33 s")
    bench.expect(run.poll() is None, "the display has ended by itself")
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=20)[0]
    bench.expect("Traceback" not in said and "panicked" not in said, tail(said))
    bench.expect(sweep.states()["PENDING"] >= 1, f"states of pilots: {sweep.states()}")


@check(short=True)
def site(bench):
    """`cluster check` finds two nodes, each other's locks refused, and a job that is queued again;
    it leaves nothing behind."""
    _fit(bench)


@check(fs="stale")
def site_stale(bench):
    """`cluster check` measures how late a name is found, here up to 20 s."""
    said = _fit(bench)
    late = re.search(r"is found (\d+) s after it is listed", said)
    bench.expect(late and 5 <= int(late[1]) <= 25, f"how late a name is found: {tail(said, 9)}")


@check(fs="nolocks")
def site_nolocks(bench):
    """`cluster check` finds that locks are not shared and says the remedy; with
    claims = "shares", all is well."""
    done, _ = _cluster_check(bench, bench.sweep(FEW))
    bench.succeed(done, 1)
    bench.expect("locks are not shared" in done.stdout and "shares" in done.stdout,
                 f"no remedy: {tail(done.stdout)}")
    _fit(bench, claims="shares")


@check()
def site_refused(bench):
    """`cluster check` says that a job could not be queued again, and that a pilot's GPUs are not
    there."""
    bench.cluster.wrap("scontrol", """[ "$1" = requeue ] || exec "$real" "$@"
echo "Access/permission denied" >&2
exit 1""")
    done, _ = _cluster_check(bench, bench.sweep(FEW, gpus=1))
    bench.succeed(done, 1)
    for words in ["could not be queued again", "Access/permission denied", "`gpus = 1`"]:
        bench.expect(words in done.stdout, f"{words}: {tail(done.stdout, 9)}")


def _fit(bench, **keys):
    """A check that finds nothing wrong; what it said."""
    sweep = bench.sweep(FEW, suffix="-fit", **keys)
    done, left = _cluster_check(bench, sweep)
    bench.succeed(done)
    for words in ["see one folder", "began again"]:
        bench.expect(words in done.stdout, f"{words}: {tail(done.stdout, 9)}")
    if "claims" not in keys:
        bench.expect(done.stdout.count("is refused on") == 2, tail(done.stdout, 9))
    bench.expect(not left, f"left behind: {left[:3]}")
    return done.stdout


def _cluster_check(bench, sweep):
    call = [sweep.command("run")[0], "cluster", "check", "test", "--results", str(sweep.results)]
    done = subprocess.run(call, cwd=sweep.work, env=sweep.environment(), text=True, timeout=300,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    bench.figure(tail(done.stdout, 12))
    return done, sorted(os.listdir(sweep.results / "cluster"))


# --- daemons and settings of the site


@check()
def controller(bench):
    """slurmctld away at submission is an error in clear words; killed just after it, `run` again
    knows what to do; slurmctld and slurmdbd away in the middle, the pilots go on, and so does the
    display."""
    cluster = bench.cluster
    sweep = bench.sweep(SLOW, cpus=4)
    time.sleep(6)  # slurmctld writes every 5 s what it knows of jobs, here of other checks' ends
    cluster.kill("slurmctld")
    done = sweep.call("run", "--detach", seconds=120)
    bench.figure(f"without a controller: {done.returncode} after {done.seconds:.0f} s")
    bench.expect(done.returncode not in (0, 101), f"exit code {done.returncode}")
    bench.expect(re.search("controller|slurmctld", done.stdout), tail(done.stdout))
    cluster.start()
    bench.expect(not sweep.pilots(), "a job is there that could not be submitted")

    bench.succeed(sweep.call("run", "--detach", seconds=60))
    cluster.kill("slurmctld")
    cluster.start()
    bench.figure(f"killed just after it: {len(sweep.pilots())} jobs are known")
    begin = sum(sweep.tally().finished.values())
    run = sweep.show("run")
    sweep.await_finished(begin + 3)
    cluster.kill("slurmctld")
    cluster.kill("slurmdbd")
    sweep.await_finished(begin + 8)
    bench.expect(run.poll() is None, "the display ended with the controller")
    cluster.start()
    said = run.communicate(timeout=400)[0]
    bench.expect(run.returncode == 0, f"exit code {run.returncode}: {tail(said)}")
    sweep.await_end()
    # A submission that slurmctld forgot has its processes killed.
    bench.each_once(sweep, SLOW, killed=4)


@check(short=True)
def places(bench):
    """Results where other nodes do not see them are refused; a log folder that has vanished is
    made again by `run`."""
    for folder in ["/tmp", "/dev/shm"]:
        with tempfile.TemporaryDirectory(dir=folder) as unseen:
            sweep = bench.sweep(FEW, suffix="-unseen", results=Path(unseen, "results"))
            done = sweep.call("run", "--detach", seconds=60)
            bench.expect(done.returncode == 2, f"{folder}: {done.returncode}: {tail(done.stdout)}")
            bench.expect(folder in done.stdout, f"{folder} is not named: {tail(done.stdout)}")
            bench.expect(not sweep.pilots(), f"{folder}: a job was submitted")
    sweep = bench.sweep(FEW, cpus=4, sbatch=["--hold"])
    bench.succeed(sweep.call("run", "--detach", seconds=60))
    for folder in sweep.folders():
        for log in (folder / "pilots").iterdir():
            log.unlink()
        (folder / "pilots").rmdir()
    for array in sweep.arrays():
        bench.cluster.slurm("scontrol", "release", array)
    sweep.await_end(60)
    bench.figure(f"without a log folder: {dict(sweep.states())}")
    sweep.configure(cpus=4)
    bench.succeed(sweep.call("run", seconds=120))
    bench.each_once(sweep, FEW)


@check()
def quota(bench):
    """A QOS that lets a user have five jobs: eight pilots are refused in Slurm's words with what
    to do, or fewer are submitted; five are accepted."""
    sweep = bench.sweep(SLOW, pilots=8, qos="few")
    done = sweep.call("run", "--detach", seconds=60)
    known = len(sweep.pilots())
    bench.figure(f"eight: exit code {done.returncode}, {known} jobs")
    if done.returncode:
        bench.expect("QOSMaxSubmitJobPerUserLimit" in done.stdout and "pilots" in done.stdout,
                     f"no limit or no remedy: {tail(done.stdout)}")
        bench.succeed(sweep.call("run", "--pilots", "5", "--detach", seconds=60))
    bench.succeed(sweep.call("run", "--pilots", "5", seconds=400))
    bench.each_once(sweep, SLOW)


@check(max_array=11, accounting="none")
def array_size(bench):
    """MaxArraySize 11 and 20 pilots: every index is accepted, or the limit is told; the sweep is
    done."""
    sweep = bench.sweep(SLOW, pilots=20)
    done = sweep.call("run", seconds=400)
    bench.succeed(done)
    bench.figure(f"{len(sweep.pilots())} pilots in {len(sweep.arrays())} arrays")
    indices = [int(job["ArrayTaskId"]) for job in sweep.pilots() if job["ArrayTaskId"].isdigit()]
    bench.expect(indices and max(indices) <= 10, f"indices {sorted(indices)}")
    bench.well_ended(sweep)
    bench.each_once(sweep, SLOW)


def _without_accounting(bench):
    sweep = bench.sweep(FEW, cpus=4)
    bench.succeed(sweep.call("run", seconds=120))
    shown = sweep.call("status", seconds=60)
    bench.expect(shown.returncode == 0, f"status: {tail(shown.stdout)}")
    bench.well_ended(sweep)
    bench.each_once(sweep, FEW)


@check(accounting="none")
def accounting_none(bench):
    """Without accounting all is the same."""
    _without_accounting(bench)


@check(accounting="filetxt")
def accounting_filetxt(bench):
    """With a file of jobs that have ended in place of accounting all is the same."""
    _without_accounting(bench)


# --- devices and users


@check()
def gpus(bench):
    """Six pilots on four GPUs: never two on one device at a time."""
    sweep = bench.sweep(SLOW, pilots=6, gpus=1)
    seen = sweep.work / "seen"
    seen.mkdir()
    # The pilot replaces the shell and has its number; a process beside it notes how long it lives.
    beat = (f'self=$$; file={seen}/"$(hostname)_${{CUDA_VISIBLE_DEVICES-unset}}'
            '_${SLURM_ARRAY_TASK_ID}_$self"; date +%s.%N > $file; '
            '(while kill -0 $self 2>/dev/null; do sleep 0.2; date +%s.%N >> $file; done) &')
    sweep.configure(pilots=6, gpus=1, before=[beat])
    done = sweep.call("run", seconds=400)
    bench.succeed(done)
    sweep.await_end()
    lives = {}
    for path in seen.iterdir():
        host, device = path.name.split("_")[:2]
        times = [float(line) for line in path.read_text().split()]
        lives.setdefault((host, device), []).append((min(times), max(times)))
    bench.figure(f"{sum(map(len, lives.values()))} pilots on {len(lives)} devices")
    devices = {(host, device) for host in ["n1", "n2"] for device in "01"}
    bench.expect(lives.keys() == devices, f"devices {sorted(lives)}")
    overlaps = sum(later[0] < earlier[1] for each in lives.values()
                   for earlier, later in itertools.pairwise(sorted(each)))
    bench.expect(overlaps == 0, f"two pilots at a time on one device: {overlaps} times")
    bench.well_ended(sweep)
    bench.each_once(sweep, SLOW)


@check()
def users(bench):
    """Two users whose files everybody may write share one store: every stage once."""
    sweep = bench.sweep(SLOW, pilots=4, cpus=2)
    sweep.results.mkdir()
    sweep.results.chmod(0o777)
    runs = [sweep.show("run", user=user) for user in ["slurm-alice", "slurm-bob"]]
    for run in runs:
        said = run.communicate(timeout=400)[0]
        bench.expect(run.returncode == 0, f"exit code {run.returncode}: {tail(said)}")
    sweep.await_end()
    names = [folder.name for folder in sweep.folders()]
    bench.figure(" ".join(names))
    bench.expect(len(names) == 2, f"folders of sweeps: {names}")
    owners = {Path(sweep.results, path).owner() for path in files(sweep.results)
              if path.startswith("store/")}
    bench.figure(f"stages by {' '.join(sorted(owners))}")
    bench.well_ended(sweep)
    bench.each_once(sweep, SLOW)
