"""apid: calls and streams through it, beside a bare gRPC C++ pair with mTLS and a plain generic gRPC proxy.

The three take turns in one run, so that a busy machine is as busy for each; a figure is the median of
its rounds. The ratio is ours over the bare pair's.
"""

import json
import statistics
import subprocess

from run import TOP, Missing

PROGRAM = TOP / "build/release/bin/apid_bench"
ROUNDS = 7
MEASURES = (("unary/s", "calls/s", "≥ 0.5"), ("unary/s of 8 threads", "calls/s", "≥ 0.5"), ("stream MB/s", "MB/s", "≥ 0.5"),
            ("upload MB/s", "MB/s", None))


def run(bench):
    if not PROGRAM.exists():
        raise Missing("build/release/bin/apid_bench: run ./dev build first")
    bench.step(f"{ROUNDS} rounds of three")
    done = subprocess.run([PROGRAM, str(ROUNDS)], check=True, capture_output=True, text=True, timeout=600)
    rounds = json.loads(done.stdout)
    median = {name: statistics.median(values) for name, values in rounds.items()}
    for measure, unit, reach in MEASURES:
        what = measure.replace("unary/s", "unary calls").replace(" MB/s", "")
        bare = median[f"bare {measure}"]
        bench.row(f"{what}, bare", bare, unit)
        bench.row(f"{what}, through apid", median[f"apid {measure}"], unit, against="bare", ratio=median[f"apid {measure}"] / bare,
                  reach=reach)
        bench.row(f"{what}, through a plain gRPC proxy", median[f"proxy {measure}"], unit, against="bare",
                  ratio=median[f"proxy {measure}"] / bare)
    for name in ("apid", "proxy"):
        bench.row(f"{name}: processor time for a stream", median[f"{name} CPU s per GB"], "s/GB")
        bench.row(f"{name}: private memory, loaded", median[f"{name} loaded private kB"] / 1e3, "MB")
    idle = rounds["apid idle private kB"]
    bench.row("apid: private memory, just started", idle[0] / 1e3, "MB", reach="≤ 1")
    bench.row("apid: private memory, after the load", idle[-1] / 1e3, "MB")
    bench.row("apid: PSS, just started", rounds["apid idle PSS kB"][0] / 1e3, "MB")
    bench.row("proxy: private memory, just started", rounds["proxy idle private kB"][0] / 1e3, "MB")
