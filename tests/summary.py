#!/usr/bin/python3
"""Adds up the JUnit files that ./dev test left: a line for every part, the failures by name, and a closing line."""

import pathlib
import sys
import xml.etree.ElementTree


def main() -> int:
    results, parts = pathlib.Path(sys.argv[1]), sys.argv[2:]
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    failures = []
    print()
    for part in parts:
        if (results / f"{part}.empty").exists():
            print(f"  {part:<6} has no tests here")
            continue
        counts = {"passed": 0, "failed": 0, "skipped": 0}
        status = read_status(results / f"{part}.status")
        for case, outcome in cases(results / f"{part}.xml"):
            counts[outcome] += 1
            if outcome == "failed":
                failures.append(f"{part}: {case}")
        # A runner that was ended by its time limit, or that died, has no list of failures of its own.
        if status != 0 and counts["failed"] == 0:
            counts["failed"] += 1
            failures.append(f"{part}: the runner ended with status {status}" + (" (time limit)" if status in (124, 137) else ""))
        print(f"  {part:<6} " + ", ".join(f"{number} {what}" for what, number in counts.items()))
        for what, number in counts.items():
            totals[what] += number
    if failures:
        print("\nfailed:")
        for failure in failures:
            print(f"  {failure}")
        print("  logs: build/log, build/vm; one part again: ./dev test PART FILTER")
    print(f"\n{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if totals["failed"] else 0


def read_status(file: pathlib.Path) -> int:
    return int(file.read_text()) if file.exists() else 1


def cases(file: pathlib.Path):
    """(name, passed | failed | skipped) of every test in a JUnit file of pytest or ctest."""
    if not file.exists():
        return
    for case in xml.etree.ElementTree.parse(file).iter("testcase"):
        name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
            yield name, "failed"
        elif case.find("skipped") is not None or case.get("status") in ("disabled", "notrun"):
            yield name, "skipped"
        else:
            yield name, "passed"


if __name__ == "__main__":
    sys.exit(main())
