"""A fleet from one workstation: `osctl version -n all` of 1,000 nodes, its time and its memory.

The nodes are 1,000 addresses of loopback, behind which one bare gRPC server answers over mTLS; it runs on the same
processors as osctl, so a real fleet, which brings its own, is faster. Each address is a node of the inventory with a
connection and a handshake of its own.
"""

import os
import pathlib
import subprocess
import tempfile
import time

import bench_osctl

BIN = bench_osctl.BIN
NODES = 1000
ROUNDS = 3


def host(i):
    return f"127.9.{i // 250}.{i % 250 + 1}"


def inventory(keys, port, refusing=0):
    """A context of NODES nodes, of which the first so many refuse."""
    lines = ["apiVersion: stele.dev/v1", "kind: ClientConfig", "currentContext: fleet", "contexts:", "- name: fleet",
             f"  ca: {keys}/server-ca.crt", f"  certificate: {keys}/admin.crt", f"  key: {keys}/admin.key",
             "  serverName: bench", "  nodes:"]
    for i in range(NODES):
        lines += [f"  - name: node-{i:04}", f"    address: {host(i)}:{1 if i < refusing else port}",
                  f"    labels: {{zone: {'abc'[i % 3]}, rack: \"{i // 40}\"}}"]
    path = keys / f"fleet-{refusing}.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def run_once(words, config, code=0):
    """Seconds, seconds of processor, and peak memory in MB of one osctl; and what it printed."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen([BIN / "osctl", *words], env={**os.environ, "OSCTLCONFIG": str(config)}, stdout=out,
                                   stderr=err, stdin=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        text, words_said = out.read().decode(), err.read().decode()
    if process.returncode != code:
        raise RuntimeError(f"osctl {words}: exit {process.returncode}: {words_said[-500:]}")
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, text


def best(words, config, code=0):
    return min((run_once(words, config, code) for _ in range(ROUNDS)), key=lambda result: result[0])


def run(bench):
    with tempfile.TemporaryDirectory() as name:
        keys = pathlib.Path(name) / "keys"
        subprocess.run([BIN / "osctl", "gen", "node", "bench", "--san", "127.0.0.1", "-o", keys], check=True,
                       stderr=subprocess.DEVNULL)
        with subprocess.Popen([BIN / "osctl_bench", "server", keys, "bench", "0", "0.0.0.0"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as server:
            try:
                fleet(bench, keys, int(server.stdout.readline()))
            finally:
                server.stdin.close()


def fleet(bench, keys, port):
    everyone = inventory(keys, port)
    bench.step(f"version of {NODES} nodes, the best of {ROUNDS}")
    took, used, memory, text = best(["version", "-n", "all"], everyone)
    answered = {line.split()[0] for line in text.splitlines()[2:]}
    if len(answered) != NODES:
        raise RuntimeError(f"{len(answered)} of {NODES} nodes answered")
    bench.row(f"version of {NODES} nodes", took, "s", reach="5 s or less")
    bench.row("  processor time of osctl", used, "s")
    bench.row("  peak memory", memory, "MB", reach="200 MB or less")
    for limit in (8, 1000):
        took, used, memory, _ = best(["version", "-n", "all", "--concurrency", str(limit), "--timeout", "120s"], everyone)
        bench.row(f"with --concurrency {limit}", took, "s", note=f"{used:.2f} s of processor, {memory:.0f} MB")
    took, used, memory, _ = best(["version", "-n", "all"], inventory(keys, port, refusing=100), code=3)
    bench.row("while 100 refuse", took, "s", note=f"{used:.2f} s of processor, {memory:.0f} MB; exit 3")
    took, _, memory, _ = best(["version", "-n", "node-0500"], everyone)
    bench.row("version of one node of them", took * 1000, "ms", note=f"reading the inventory too; {memory:.0f} MB")
