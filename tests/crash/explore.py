"""One scenario from recording to verdicts: makes the disk, records, makes all states, judges each against its phases."""

import collections
import dataclasses
import functools
import hashlib
import pathlib
import random
import subprocess
import time
from typing import Iterable

import boot_model
import firmware
import lab
import lab_disk
import scenarios
import signing
import states
import write_log

KEPT_EXAMPLES = 5


@dataclasses.dataclass
class Recording:
    scenario: scenarios.Scenario
    base: pathlib.Path  # the disk before
    log: pathlib.Path
    seconds: float

    def epochs(self) -> list[write_log.Epoch]:
        return write_log.epochs(write_log.read(self.log, marks=(lab_disk.MARK_AT, lab_disk.MARK_AT + lab_disk.MIB)))

    def known(self) -> boot_model.Known:
        return known()


@dataclasses.dataclass
class Report:
    name: str
    writes: int = 0
    flushes: int = 0
    made: int = 0  # states with duplicates
    distinct: int = 0
    unbootable: int = 0
    wrong: int = 0  # an image runs that may not
    lost: int = 0  # an image is whole under no name that must be
    untold: int = 0  # on trial where it must not be, or not where it must
    broken: int = 0  # a name ending in .efi without a whole image
    dangling: int = 0  # a bootable name without a root
    stranded: int = 0  # what runs is on trial, and nothing else would run once it failed
    damaged: int = 0  # the file system has lost or shared clusters
    runs: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    power_ons: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    examples: list[str] = dataclasses.field(default_factory=list)
    record_seconds: float = 0
    seconds: float = 0

    def bad(self) -> int:
        return self.unbootable + self.wrong + self.lost + self.untold + self.broken + self.dangling

    def count(self, state: states.State, verdict: boot_model.Verdict, phases: list[scenarios.Phase]) -> None:
        faults = []
        if verdict.image is None:
            faults.append(("unbootable", verdict.why))
        for each in phases:
            if verdict.image and verdict.image not in each.runs:
                faults.append(("wrong", f"{verdict.image} runs at {each.mark}"))
            if each.whole - verdict.whole:
                faults.append(("lost", f"{', '.join(sorted(each.whole - verdict.whole))} at {each.mark}"))
            if verdict.image and each.counted is not None and verdict.counted != each.counted:
                faults.append(("untold", f"{verdict.image} runs {'on trial' if verdict.counted else 'as good'} at {each.mark}"))
        faults += [("broken", name) for name in verdict.broken[:1]] + [("dangling", name) for name in verdict.dangling[:1]]
        if verdict.image and verdict.counted and verdict.fallback is None:
            faults.append(("stranded", verdict.image))
        for name in {name for name, _ in faults}:
            setattr(self, name, getattr(self, name) + 1)
        told = [f"{name}: {text}" for name, text in faults if name != "stranded"]
        if told and len(self.examples) < KEPT_EXAMPLES:
            self.examples.append(f"{'; '.join(told)} ({state.cut})")
        self.runs[verdict.image or "nothing"] += 1
        self.power_ons[verdict.power_ons] += 1

    def as_json(self) -> dict:
        return {**vars(self), "runs": dict(self.runs), "power_ons": dict(self.power_ons)}


def record(folder: pathlib.Path, scenario: scenarios.Scenario) -> Recording:
    folder.mkdir(parents=True, exist_ok=True)
    base, disk, log = folder / "base.raw", folder / "disk.raw", folder / "log"
    lab_disk.build(base, scenario.layout, firmware.loader())
    subprocess.run(["cp", "--sparse=always", base, disk], check=True)
    began = time.monotonic()
    if scenario.lab:
        lab.record(folder, scenario.lab, disk, payload(), log)
    else:
        boot = firmware.boot(folder, disk, [*scenario.loaders[0]], 120, log)
        if not boot.ended or boot.torn:
            raise write_log.BadLog(f"{scenario.name}: the firmware's boots did not end: {boot.images}")
    disk.unlink()
    return Recording(scenario, base, log, time.monotonic() - began)


@functools.cache
def payload() -> dict[str, bytes]:
    """What crash_lab installs, and what it knows of the images that are there."""
    old, new = scenarios.image("A"), scenarios.image("B")
    file, header = new.file("0.2.0", scenarios.new_loader())
    return {"image.file": file, "B.header": header, "A.header": old.file("0.1.0", firmware.loader())[1],
            "A.root_hash": old.root_hash().encode(), "B.root_hash": new.root_hash().encode(),
            "key.pem": signing.public_half(signing.development_key()).pem, "image.efi": new.uki, "loader.efi": scenarios.new_loader()}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@functools.cache
def known() -> boot_model.Known:
    images = [scenarios.image(name) for name in "OAB"]
    return boot_model.Known({"V1": memoryview(firmware.loader()), "V2": memoryview(scenarios.new_loader())},
                            {each.name: memoryview(each.uki) for each in images}, {each.name: memoryview(each.root) for each in images})


@dataclasses.dataclass
class Judged:
    """A state with its verdict, kept for booting it for real."""
    state: states.State
    loaders: tuple[str, ...]
    verdict: boot_model.Verdict


def explore(recording: Recording, budget: states.Budget, keep: int = 0) -> tuple[Report, list[Judged]]:
    """All states of a recording, judged; `keep` of them, chosen at random with the budget's seed."""
    began = time.monotonic()
    scenario, epochs = recording.scenario, recording.epochs()
    space = states.Space(recording.base, epochs, budget)
    model = boot_model.Model(recording.known(), space.size)
    expected = Expectations(scenario, [text for epoch in epochs for _, text in epoch.marks])
    report = Report(scenario.name, sum(len(epoch.writes) for epoch in epochs), len(epochs) - 1, record_seconds=recording.seconds)
    enumerator = states.Enumerator(space, budget)
    hashes: set[int] = set()
    kept: list[Judged] = []
    choose = random.Random(budget.seed)
    for count, state in enumerate(enumerator.states(), 1):
        for loaders in expected.boot_orders(state):
            for each in reversed(scenario.firmwares):  # the one that boots a sample comes last
                verdict = model.judge(state, list(loaders), each)
                report.count(state, verdict, expected.phases(state))
        if state.hash not in hashes and not model.esp_is_sound(state):
            report.damaged += 1
        hashes.add(state.hash)
        # Reservoir sampling: each state has the same chance.
        place = len(kept) if len(kept) < keep else choose.randrange(count)
        if place < keep:
            kept[place:place + 1] = [Judged(state, loaders, verdict)]
    report.made, report.distinct = enumerator.made, len(hashes)
    report.seconds = time.monotonic() - began
    return report, kept


def find(recording: Recording, budget: states.Budget, hashes: set[int]) -> list[Judged]:
    """The states of those hashes, each once, judged again."""
    epochs, left = recording.epochs(), set(hashes)
    space = states.Space(recording.base, epochs, budget)
    model = boot_model.Model(recording.known(), space.size)
    expected = Expectations(recording.scenario, [text for epoch in epochs for _, text in epoch.marks])
    found = []
    for state in states.Enumerator(space, budget).states():
        if state.hash in left:
            left.remove(state.hash)
            loaders = expected.boot_orders(state)[-1]
            found.append(Judged(state, loaders, model.judge(state, list(loaders))))
    return found


def sample(everything: Iterable, most: int, seed: int) -> list:
    """`most` of them, each with the same chance; 0: all."""
    found = list(everything)
    return random.Random(seed).sample(found, most) if 0 < most < len(found) else found


class Expectations:
    """Which phases a state can be met in, from the marks that were set."""

    def __init__(self, scenario: scenarios.Scenario, marks: list[str]):
        self._scenario = scenario
        by_mark = {phase.mark: phase for phase in scenario.phases}
        missing = [mark for mark in by_mark if mark not in marks] if marks else []
        if missing:
            raise write_log.BadLog(f"{scenario.name}: the recording has no mark {missing[0]}")
        # The phase that holds when so many marks are set.
        self._at = [scenario.phases[0]]
        for mark in marks:
            self._at.append(by_mark.get(mark, self._at[-1]))
        self._flip = marks.index(scenario.loaders_before) + 1 if scenario.loaders_before else 0

    def phases(self, state: states.State) -> list[scenarios.Phase]:
        found = self._at[state.lowest:state.highest + 1]
        return [phase for index, phase in enumerate(found) if phase not in found[:index]]

    def boot_orders(self, state: states.State) -> list[tuple[str, ...]]:
        return list(self._scenario.loaders if state.highest >= self._flip else self._scenario.loaders[:1])


def write_state(state: states.State, base: pathlib.Path, out: pathlib.Path) -> None:
    """The state as a disk file, sparse."""
    subprocess.run(["cp", "--sparse=always", base, out], check=True)
    with open(out, "r+b") as opened:
        for offset, data in state.changes():
            opened.seek(offset)
            opened.write(data)
