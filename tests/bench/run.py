#!/usr/bin/python3
"""Runs benchmarks: a table on standard output and JSON in build/bench/NAME.json.

  run.py            every benchmark
  run.py boot cli   these
  run.py --list     what there is

A benchmark is a file bench_NAME.py here with a docstring whose first line says what it measures, and
`run(bench)`, which calls bench.row(...) for every figure. Figures are for people and for comparing
inside one run: a slow machine makes no benchmark fail. One that cannot run says what it missed.
"""

import argparse
import importlib
import json
import pathlib
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
OUT = TOP / "build" / "bench"
IMAGE_HINT = "the image: run ./dev image first"


class Missing(Exception):
    """What this machine lacks for a benchmark."""


class Bench:
    def __init__(self, name):
        self.name = name
        self.rows = []

    def row(self, what, value, unit, *, against=None, ratio=None, reach=None, note=""):
        """One figure. `against` names what it is compared with, `ratio` is ours over theirs, `reach` the aim in words."""
        self.rows.append({"what": what, "value": value, "unit": unit, "against": against, "ratio": ratio,
                          "reach": reach, "note": note})
        print(f"  {what}: {shown(value)} {unit}", file=sys.stderr, flush=True)

    def step(self, text):
        print(f"  … {text}", file=sys.stderr, flush=True)


def shown(value):
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def table(rows):
    heads = ["WHAT", "VALUE", "UNIT", "AGAINST", "RATIO", "REACH", "NOTE"]
    lines = [heads] + [[r["what"], shown(r["value"]), r["unit"], r["against"] or "",
                        shown(r["ratio"]) if r["ratio"] is not None else "", r["reach"] or "", r["note"]] for r in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def benches():
    return sorted(file.stem.removeprefix("bench_") for file in HERE.glob("bench_*.py"))


def run_one(name):
    """True unless the benchmark itself broke."""
    module = importlib.import_module(f"bench_{name}")
    bench = Bench(name)
    print(f"{name}: {module.__doc__.strip().splitlines()[0]}", file=sys.stderr, flush=True)
    missing, error = "", ""
    try:
        module.run(bench)
    except Missing as what:
        missing = str(what)
    except Exception:  # one broken benchmark must not hide the others' figures
        error = traceback.format_exc()
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(
        {"name": name, "time": int(time.time()), "rows": bench.rows, "missing": missing, "error": error}, indent=1) + "\n")
    print(f"\n{name}")
    if bench.rows:
        print(table(bench.rows))
    if missing:
        print(f"cannot run here: {missing}")
    if error:
        print(error)
    print(flush=True)
    return not error


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="say what there is")
    args = parser.parse_args()
    sys.path[:0] = [str(HERE), str(TOP / "tests" / "vm"), str(TOP / "tests" / "node")]
    if args.list:
        for name in benches():
            print(f"{name:10} {importlib.import_module('bench_' + name).__doc__.strip().splitlines()[0]}")
        return 0
    unknown = sorted(set(args.names) - set(benches()))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there is: {', '.join(benches())}")
    results = [run_one(name) for name in args.names or benches()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
