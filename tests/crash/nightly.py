#!/usr/bin/env python3
"""All sizes of the power-cut tests: every scenario over many directory layouts, the real image's life on a node, a sample booted
for real, what was interrupted done again.

Prints a table, writes build/crash/nightly.json, ends with status 0 only if no sound order has a bad state and every wrong one
has. The work is done in batches of at most ten minutes (batches.py), each in a process of its own: --under names a command that
each is run under, such as `flock FILE`, for machines that are shared.
"""

import argparse
import json
import pathlib
import shlex
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/crash"), str(TOP / "image")]

import batches  # noqa: E402

OUT = TOP / "build/crash"


def main() -> int:
    options, sizes = parse_options()
    table = batches.table(sizes)
    unknown = [name for name in options.only + [options.batch] if name and name not in table]
    if unknown:
        sys.exit(f"no batch {unknown[0]}: one of {', '.join(table)}")
    if options.batch:
        return run_batch(options.batch, table, sizes)
    began, found = time.monotonic(), {}
    print(f"{'scenario':<24}" + "".join(f"{name:>11}" for name in batches.COLUMNS) + f"{'seconds':>9}", flush=True)
    for name in options.only or table:
        why = "has not been run"
        if not options.sum:
            result_file(name).unlink(missing_ok=True)
            done = subprocess.run([*shlex.split(options.under), sys.executable, __file__, *sys.argv[1:], "--batch", name])
            why = f"ended with status {done.returncode} and no result"
        if result_file(name).exists():
            found[name] = json.loads(result_file(name).read_text())
        else:
            found[name] = {"faults": [f"{name}: {why}"]}
    summary = summed_up(found, round(time.monotonic() - began))
    (OUT / "nightly.json").write_text(json.dumps({"summary": summary, "batches": found}, indent=1) + "\n")
    print(json.dumps(summary, indent=1))
    return 1 if summary["faults"] else 0


def run_batch(name: str, table: dict, sizes: batches.Sizes) -> int:
    found = batches.Found()
    table[name](sizes, OUT / "work", found)
    result_file(name).parent.mkdir(parents=True, exist_ok=True)
    result_file(name).write_text(json.dumps(found.as_json(), indent=1) + "\n")
    return 1 if found.as_json()["faults"] else 0


def result_file(name: str) -> pathlib.Path:
    return OUT / "batches" / f"{name}.json"


def summed_up(found: dict[str, dict], seconds: int) -> dict:
    sound = [report for batch in found.values() for report in batch.get("reports", []) if report["sound"]]
    wrong_orders = [report for batch in found.values() for report in batch.get("reports", []) if not report["sound"]]

    def total(name: str) -> int:
        return sum(report.get(name, 0) for report in sound)

    def over(name: str) -> int:
        return sum(batch.get(name, 0) for batch in found.values())

    return {"states": total("distinct"), "unbootable": total("unbootable"), "wrong": total("wrong"), "lost": total("lost"),
            "booted": over("booted"), "booted_as_modelled": over("booted_as_modelled"), "done_again": over("again"),
            "done_again_well": over("again_well"), "wrong_orders": len(wrong_orders),
            "wrong_orders_found_out": sum(bool(report["unbootable"] or report["lost"]) for report in wrong_orders),
            "seconds": seconds, "faults": [text for batch in found.values() for text in batch["faults"]]}


def parse_options() -> tuple[argparse.Namespace, batches.Sizes]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--under", default="", metavar="COMMAND", help="run each batch under this command")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="BATCH,…", help="only these")
    parser.add_argument("--sum", action="store_true", help="only sum up what the batches found when they were last run")
    parser.add_argument("--batch", help=argparse.SUPPRESS)
    parser.add_argument("--layouts", type=lambda text: [int(word) for word in text.split(",")], default=[0, 5, 7, 8, 9, 10, 11, 12])
    for name, default, what in [
            ("subsets", 1500, "random subsets of a large epoch"), ("torn", 300, "torn writes of an epoch"),
            ("boots-each", 5, "states of each sound recording that are booted"),
            ("mounts", 0, "states of STELE-STATE that are mounted in each scenario; 0: all"),
            ("resumed", 20, "upgrades that are carried on in the lab"), ("installs-again", 4, "installations that are begun anew"),
            ("resets-again", 40, "wishes that are carried out again"), ("flash-boots", 20, "states of the firmware's flash that are booted"),
            ("life-boots", 40, "states of the real image that are booted"), ("life-again", 1, "upgrades that are carried on by a real node"),
            ("life-subsets", 40, "random subsets of a large epoch of the real image's life"),
            ("life-mounts", 2000, "states of a real node's STELE-STATE that are mounted; 0: all"), ("seed", 1, "of what is sampled")]:
        parser.add_argument(f"--{name}", type=int, default=default, help=what)
    options = parser.parse_args()
    given = vars(options)
    return options, batches.Sizes(**{field: given[field] for field in batches.Sizes.__dataclass_fields__})


if __name__ == "__main__":
    sys.exit(main())
