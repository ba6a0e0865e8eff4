"""A check of sweeps on Slurm: what it needs, and what it expects and measures.

A check is a function with its contract as docstring. `@check` says which cluster it needs; the
name on the command line is the function's, with hyphens.
"""

import time

from sweep import Sweep, tail

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
