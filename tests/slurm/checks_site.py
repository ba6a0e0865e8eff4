"""What must hold of submissions, of sites and their daemons, of devices and users."""

import itertools
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from bench import check
from cluster import wait_until
from sweep import FEW, SLOW, files, tail

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
    # A pilot that was never needed has no index: Slurm tells of it as 2^32 - 2.
    indices = [int(job["ArrayTaskId"]) for job in sweep.pilots() if job["ArrayTaskId"].isdigit()]
    indices = [index for index in indices if index < 2**32 - 2]
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
