"""Scenarios of STELE-STATE: every state is mounted, and holds the old or the new."""

import pathlib
import re
import time

import ext4_state
import explore
import saved
import scenarios
import states

NAMES = ("config", "staged-config", "tried-config", "boots", "failures")


def scenario(name: str) -> scenarios.Scenario:
    return scenarios.Scenario(name, name, scenarios.layout(A="stele-2.efi"), (scenarios.phase("begin", "A", "A"),))


def run(recording: explore.Recording, budget: states.Budget, work: pathlib.Path, most: int = 0, check_every: int = 25) -> explore.Report:
    """Mounts every state, or `most` of them, chosen with the budget's seed."""
    began = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    epochs = recording.epochs()
    marks = [text for epoch in epochs for _, text in epoch.marks]
    space = states.Space(recording.base, epochs, budget)
    base = ext4_state.pieces(recording.base)
    report = explore.Report(recording.scenario.name, sum(len(epoch.writes) for epoch in epochs), len(epochs) - 1, record_seconds=recording.seconds)
    enumerator = states.Enumerator(space, budget)
    hashes = set()
    for count, state in enumerate(explore.sample(enumerator.states(), most, budget.seed)):
        least, last = _number(marks[:state.lowest], "saved"), _number(marks[:state.highest], "save")
        with ext4_state.mounted(state, base, work) as folder:
            found = saved.faults(recording.scenario.name, ext4_state.kept(folder), least, max(last, least))
        if count % check_every == 0 and (problem := ext4_state.check(work)):
            report.damaged += 1
            found.append(problem)
        if found:
            report.lost += 1
            if len(report.examples) < explore.KEPT_EXAMPLES:
                report.examples.append(f"{'; '.join(found)} ({state.cut})")
        hashes.add(state.hash)
        report.runs["old or new" if not found else "neither"] += 1
    report.made, report.distinct, report.seconds = enumerator.made, len(hashes), time.monotonic() - began
    return report


def _number(marks: list[str], word: str) -> int:
    """The highest N of marks word-N."""
    return max((int(found[1]) for mark in marks if (found := re.fullmatch(rf"{word}-(\d+)", mark))), default=0)
