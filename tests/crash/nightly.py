#!/usr/bin/env python3
"""All sizes of the power-cut tests: every scenario over many directory layouts, a sample booted for real, interrupted upgrades carried on.

Prints a table, writes build/crash/nightly.json, ends with status 0 only if no sound order has a bad state and every wrong one has.
"""

import argparse
import json
import pathlib
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/crash"), str(TOP / "image")]

import explore  # noqa: E402
import explore_state  # noqa: E402
import real_boots  # noqa: E402
import resume  # noqa: E402
import scenarios  # noqa: E402
import states  # noqa: E402

COLUMNS = ("distinct", "unbootable", "wrong", "lost", "untold", "broken", "dangling", "damaged")
LARGE = {"wrong-loader"}  # bad in every layout; two are enough


def main() -> int:
    options = parse_options()
    out = TOP / "build/crash"
    work = out / "work"
    began = time.monotonic()
    reports, faults = [], []
    outcome = real_boots.Outcome()
    recordings = {}
    print(f"{'scenario':<24}" + "".join(f"{name:>11}" for name in COLUMNS) + f"{'seconds':>9}")
    for fillers in options.layouts:
        for scenario in scenarios.all_scenarios(fillers) + scenarios.counting(fillers):
            if scenario.name in LARGE and fillers not in (0, scenarios.WIDE):
                continue
            recording = explore.record(work / f"{scenario.name}-{fillers}", scenario)
            budget = states.Budget(options.subsets, options.torn, options.seed)
            report, kept = explore.explore(recording, budget, options.boots_each)
            show(f"{scenario.name}/{fillers}", report, reports, scenario.sound)
            faults += judge(report, scenario.sound, fillers)
            if scenario.sound:
                real_boots.compare(kept, recording, work / "boots", outcome)
            if scenario.name == "upgrade" and fillers == 0:
                recordings["upgrade"] = recording
            else:
                recording.base.unlink()
    for name in explore_state.NAMES:
        recording = explore.record(work / name, explore_state.scenario(name))
        report = explore_state.run(recording, states.Budget(200, 20, options.seed), work / "ext4", options.mounts)
        show(name, report, reports, True)
        faults += judge(report, True, 0)
    resumed = []
    if options.resumed and "upgrade" in recordings:
        again = resume.candidates(recordings["upgrade"], states.Budget(300, 100, options.seed), options.resumed)
        resumed = [resume.again(state, recordings["upgrade"], work / "resume") for state in again]
        faults += [f"carried on: {text}" for text in resumed if text]
    faults += outcome.differences
    sound = [each for each in reports if each["sound"]]
    summary = {"states": sum(each["distinct"] for each in sound), "unbootable": sum(each["unbootable"] for each in sound),
               "wrong": sum(each["wrong"] for each in sound), "lost": sum(each["lost"] for each in sound), "booted": outcome.booted,
               "booted_as_modelled": outcome.agreed, "carried_on": len(resumed), "carried_on_well": resumed.count(""),
               "seconds": round(time.monotonic() - began), "faults": faults}
    (out / "nightly.json").write_text(json.dumps({"summary": summary, "reports": reports}, indent=1) + "\n")
    print(json.dumps(summary, indent=1))
    return 1 if faults else 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layouts", type=lambda text: [int(word) for word in text.split(",")], default=[0, 5, 7, 8, 9, 10, 11, 12])
    parser.add_argument("--subsets", type=int, default=1500, help="random subsets of a large epoch")
    parser.add_argument("--torn", type=int, default=300)
    parser.add_argument("--boots-each", type=int, default=7, help="states of each sound recording that are booted")
    parser.add_argument("--mounts", type=int, default=0, help="states of STELE-STATE that are mounted in each scenario; 0: all")
    parser.add_argument("--resumed", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def show(name: str, report: explore.Report, reports: list, sound: bool) -> None:
    print(f"{name:<24}" + "".join(f"{getattr(report, column):>11}" for column in COLUMNS) + f"{report.seconds:>9.1f}", flush=True)
    reports.append({**report.as_json(), "layout": name, "sound": sound})


def judge(report: explore.Report, sound: bool, fillers: int) -> list[str]:
    if sound:
        return [f"{report.name}/{fillers}: {text}" for text in report.examples]
    return [] if report.bad() else [f"{report.name}/{fillers}: a wrong order, and no bad state was found"]


if __name__ == "__main__":
    sys.exit(main())
