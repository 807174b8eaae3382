"""The nightly's work in batches of a few minutes, so that a machine that is shared is never held for long: each is a name and
what it finds, written to a file of its own.
"""

import dataclasses
import json
import pathlib
import time
from typing import Callable

import explore
import explore_state
import flash
import forgetting
import installing
import life
import life_boots
import real_boots
import resume
import scenarios
import states

LARGE = {"wrong-loader"}  # bad in every layout; two are enough
LIFE_BOOT_BATCHES = 2
COLUMNS = ("distinct", "unbootable", "wrong", "lost", "untold", "broken", "dangling", "damaged")


@dataclasses.dataclass
class Sizes:
    layouts: list[int]
    subsets: int
    torn: int
    boots_each: int
    mounts: int
    resumed: int
    installs_again: int
    resets_again: int
    flash_boots: int
    life_boots: int
    life_again: int
    life_subsets: int
    life_mounts: int
    seed: int

    def budget(self, subsets: int = 0, torn: int = 0) -> states.Budget:
        return states.Budget(subsets or self.subsets, torn or self.torn, self.seed)


class Found:
    """What a batch found."""

    def __init__(self):
        self.reports: list[dict] = []
        self.faults: list[str] = []
        self.outcome = real_boots.Outcome()
        self.again: list[str] = []  # what was done again on what a cut left; "" where it ended well
        self.began = time.monotonic()

    def add(self, name: str, report, sound: bool = True) -> None:
        print(f"{name:<24}" + "".join(f"{getattr(report, column, 0):>11}" for column in COLUMNS) + f"{report.seconds:>9.1f}", flush=True)
        told = report.as_json() if isinstance(report, explore.Report) else dict(vars(report))
        self.reports.append({**told, "layout": name, "sound": sound})
        if sound:
            self.faults += [f"{name}: {text}" for text in report.examples]
        elif not report.bad():
            self.faults.append(f"{name}: a wrong order, and no bad state was found")

    def as_json(self) -> dict:
        return {"reports": self.reports, "faults": self.faults + self.outcome.differences + [text for text in self.again if text],
                "booted": self.outcome.booted, "booted_as_modelled": self.outcome.agreed, "again": len(self.again),
                "again_well": self.again.count(""), "seconds": round(time.monotonic() - self.began)}


def esp(fillers: int, sizes: Sizes, work: pathlib.Path, found: Found) -> None:
    for scenario in scenarios.all_scenarios(fillers) + scenarios.counting(fillers):
        if scenario.name in LARGE and fillers not in (0, scenarios.WIDE):
            continue
        recording = explore.record(work / f"{scenario.name}-{fillers}", scenario)
        report, kept = explore.explore(recording, sizes.budget(), sizes.boots_each)
        found.add(f"{scenario.name}/{fillers}", report, scenario.sound)
        if scenario.sound:
            real_boots.compare(kept, recording, work / "boots", found.outcome)
        recording.base.unlink()


def wrong_order(sizes: Sizes, work: pathlib.Path, found: Found) -> None:
    scenario = scenarios.refused()
    report, _ = explore.explore(explore.record(work / scenario.name, scenario), sizes.budget(200, 60))
    found.add(scenario.name, report, scenario.sound)


def grow(sizes: Sizes, work: pathlib.Path, found: Found) -> None:
    for scenario in scenarios.growing():
        recording = explore.record(work / scenario.name, scenario)
        report, kept = explore.explore(recording, sizes.budget(), sizes.boots_each)
        found.add(scenario.name, report, scenario.sound)
        if scenario.sound:
            real_boots.compare(kept, recording, work / "boots", found.outcome)


def carry_on(sizes: Sizes, work: pathlib.Path, found: Found) -> None:
    recording = explore.record(work / "resumed", scenarios.all_scenarios(0)[0])
    for state in resume.candidates(recording, sizes.budget(300, 100), sizes.resumed):
        found.again.append(resume.again(state, recording, work / "resume"))


def saved(name: str, sizes: Sizes, work: pathlib.Path, found: Found) -> None:
    recording = explore.record(work / name, explore_state.scenario(name))
    found.add(name, explore_state.run(recording, sizes.budget(200, 20), work / "ext4", sizes.mounts))


def install(case: installing.Case, sizes: Sizes, work: pathlib.Path, found: Found) -> None:
    recording = installing.record(work / case.name, case)
    report, kept = installing.explore_install(recording, sizes.budget(200, 60), work / case.name, sizes.boots_each)
    found.add(case.name, report)
    real_boots.compare(kept, recording, work / "boots", found.outcome)
    unfinished = [each for each in kept if each.verdict.image != "A"]
    found.again += [installing.again(each, recording, work / "again") for each in unfinished[:sizes.installs_again]]


def reset(name: str, sizes: Sizes, work: pathlib.Path, found: Found) -> None:
    recording = forgetting.record(work / name, name)
    report = forgetting.explore_reset(recording, sizes.budget(200, 60), work / name, sizes.resets_again)
    found.add(name, report)
    found.again += [""] * report.carried_out_well


def boot_order(sizes: Sizes, work: pathlib.Path, found: Found) -> None:
    report = flash.explore_flash(work / "flash", sizes.flash_boots, sizes.seed)
    found.add("boot-order", report)
    found.outcome.booted += report.booted
    found.outcome.agreed += report.agreed


def life_record(sizes: Sizes, work: pathlib.Path, found: Found) -> None:
    recording = life.record(work / "life")
    if not recording.flipped:
        found.faults.append("life: the firmware's BootOrder does not begin with the new loader")


def life_explore(sizes: Sizes, work: pathlib.Path, found: Found) -> None:
    report, kept = explore.explore(life.load(work / "life"), sizes.budget(sizes.life_subsets, 100), sizes.life_boots)
    found.add("life", report)
    # Which are booted is said by their hashes: the batches behind this one look them up again.
    (work / "life/chosen.json").write_text(json.dumps([f"{each.state.hash:x}" for each in kept]))


def life_boot(part: int, sizes: Sizes, work: pathlib.Path, found: Found) -> None:
    """A share of the states that were chosen."""
    recording = life.load(work / "life")
    chosen = json.loads((work / "life/chosen.json").read_text())[part::LIFE_BOOT_BATCHES]
    kept = explore.find(recording, sizes.budget(sizes.life_subsets, 100), {int(text, 16) for text in chosen})
    life_boots.compare(kept, recording, work / "boots", found.outcome)


def life_state(sizes: Sizes, work: pathlib.Path, found: Found) -> None:
    found.add("life-state", life.explore_state(life.load(work / "life"), sizes.budget(50, 20), work / "ext4", sizes.life_mounts))


def life_again(sizes: Sizes, work: pathlib.Path, found: Found) -> None:
    found.again += life_boots.carry_on(life.load(work / "life"), work / "again", sizes.budget(20, 20), sizes.life_again)


def table(sizes: Sizes) -> dict[str, Callable[[Sizes, pathlib.Path, Found], None]]:
    """All batches, in order; those of the life read the recording of the first of them."""
    found: dict[str, Callable] = {}
    for fillers in sizes.layouts:
        found[f"esp-{fillers}"] = lambda s, w, f, fillers=fillers: esp(fillers, s, w, f)
    found |= {"grow": grow, "carry-on": carry_on}
    for name in explore_state.NAMES:
        found[name] = lambda s, w, f, name=name: saved(name, s, w, f)
    for case in installing.cases():
        found[case.name] = lambda s, w, f, case=case: install(case, s, w, f)
    for name in forgetting.NAMES:
        found[name] = lambda s, w, f, name=name: reset(name, s, w, f)
    found |= {"boot-order": boot_order, "wrong-order": wrong_order}
    found |= {"life-record": life_record, "life": life_explore, "life-state": life_state}
    for part in range(LIFE_BOOT_BATCHES):
        found[f"life-boots-{part + 1}"] = lambda s, w, f, part=part: life_boot(part, s, w, f)
    return found | {"life-again": life_again}
