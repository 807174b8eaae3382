"""Staging an image beside dd over ssh and RAUC, in one node; what memory it takes; how long the API is away.

All write the same bytes to the same partition of the same node, in turns; a figure is the median of its rounds, over whole
processes on this side. What each includes:

  osctl upgrade --stage-only   receive (TLS); check signature and each chunk's hash; write past the page cache; flush; read all of
                               it back from the disk and compare; UKI and loader go to the ESP, the root to the slot
  ssh … dd oflag=direct        receive (ssh); write past the page cache; fsync. Nothing is checked
  ssh … dd                     the same through the page cache
  ssh … rauc install           the bundle is on the node already: check the signature, write through dm-verity, fsync
  bundle by ssh, then rauc     receive to the data partition, and the line above
"""

import contextlib
import json
import shutil
import statistics
import subprocess
import time

from run import IMAGE_HINT, OUT, TOP, Missing

ROUNDS = 5
METER_GROUPS = ("system/machined", "system/apid")
MEGA = 1e6
IDLE = 20  # seconds, for the memory of a node that does nothing


def run(bench):
    if not (TOP / "build/image/stele.raw").exists():
        raise Missing(IMAGE_HINT)
    if shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        raise Missing("ssh: apt-get install openssh-client")
    import harness
    import other_ways
    import variants
    bench.step("two images, a pod with sshd and rauc, a bundle")
    images = [variants.make("good", version) for version in ("0.2.0", "0.3.0")]
    ways = other_ways.OtherWays(OUT / "stage")
    bundle = ways.bundle(images[0])
    with harness.node("bench-stage", firmware="ovmf", static_pods=[ways.pod()], forwards=(other_ways.PORT,)) as node:
        node.wait_api(120)
        ways.use(node)
        rates(bench, node, ways, images, bundle)
        memory(bench, node, ways, images)
        without_api(bench, node, images)


# --- rates


def rates(bench, node, ways, images, bundle):
    from other_ways import BUNDLE, TARGET
    size = images[0].stat().st_size
    dd = f"dd of={TARGET} bs=1M iflag=fullblock conv=fsync status=none"
    turns = {
        "stage": lambda n: node.osctl("upgrade", "--stage-only", "--image", images[n % 2], timeout=300),
        "dd direct": lambda n: ways.run(f"{dd} oflag=direct", images[n % 2]),
        "dd": lambda n: ways.run(dd, images[n % 2]),
        "bundle": lambda n: ways.run(f"cat > {BUNDLE} && sync {BUNDLE}", bundle),
        "rauc": lambda n: ways.run(f"rauc install {BUNDLE}"),
    }
    seconds = {name: [] for name in turns}
    for number in range(ROUNDS + 1):
        bench.step(f"round {number} of {ROUNDS}" if number else "a round that does not count")
        for name, turn in turns.items():
            began = time.monotonic()
            turn(number)
            if number:
                seconds[name].append(time.monotonic() - began)
    seconds["bundle, then rauc"] = [a + b for a, b in zip(seconds["bundle"], seconds["rauc"])]
    rate = {name: size / MEGA / statistics.median(took) for name, took in seconds.items()}
    best = max("dd", "dd direct", key=rate.get)
    shown = lambda name: "s: " + " ".join(f"{took:.1f}" for took in seconds[name])
    bench.row("stage, verified", rate["stage"], "MB/s", against=f"the faster dd ({best})", ratio=rate["stage"] / rate[best],
              reach="≥ 0.9", note=f"{size / MEGA:.1f} MB, median of {ROUNDS}; {shown('stage')}")
    for name, what in (("dd direct", "ssh … dd oflag=direct"), ("dd", "ssh … dd"), ("rauc", "rauc install, its bundle on the node already"),
                       ("bundle, then rauc", "bundle by ssh, then rauc install")):
        bench.row(what, rate[name], "MB/s", against="stage is its", ratio=rate["stage"] / rate[name], note=shown(name))
    used = ", ".join(f"{name} {ways.versions[name]}" for name in ("openssh-server", "rauc"))
    bench.row("payload", size / MEGA, "MB", note=f"{used}; ssh's own choice of ciphers")


# --- memory


@contextlib.contextmanager
def meter(ways, result):
    with subprocess.Popen(ways.command("node-meter", "50", *METER_GROUPS), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:
        time.sleep(2)  # the first look is at an idle node
        yield
        result.update(json.loads(process.communicate(timeout=30)[0]))


def memory(bench, node, ways, images):
    bench.step(f"memory: a node that does nothing for {IDLE} s, then one that stages")
    idle, staging = {}, {}
    with meter(ways, idle):
        time.sleep(IDLE)
    with meter(ways, staging):
        node.osctl("upgrade", "--stage-only", "--image", images[0], timeout=300)
    more = lambda found, what: (found[what]["most"] - found[what]["first"]) / MEGA
    bench.row("memory that cannot be dropped, more at its most", more(staging, "used"), "MB", reach="≤ +24",
              note=f"MemTotal - MemAvailable; {staging['used']['first'] / MEGA:.0f} MB before; a node that idles for {IDLE} s: {more(idle, 'used'):+.1f}")
    for what in ("anon", "slab", "dirty", "cached"):
        bench.row(f"  {what}", more(staging, what), "MB", note=f"idle {more(idle, what):+.1f}")
    for group in METER_GROUPS:
        for what in ("peak", "anon", "kernel", "sock"):
            if (name := f"{group} {what}") in staging:
                bench.row(f"  {group}'s cgroup: {what}", more(staging, name), "MB", note=f"{staging[name]['first'] / MEGA:.1f} before")


# --- the API


def without_api(bench, node, images):
    import api_poll
    version = lambda: next(slot["body"]["version"] for slot in node.get("slots").values() if slot["body"].get("running"))
    with api_poll.Poll(f"127.0.0.1:{node.machine.port}", node.folder) as poll:
        bench.step("a reboot")
        began = time.monotonic()
        node.osctl("reboot", "--wait", timeout=300)
        reboot = poll.gaps(began, time.monotonic())
        node.wait_service("kubelet")
        bench.step("an upgrade")
        began = time.monotonic()
        node.osctl("upgrade", "--stage-only", "--image", images[1], timeout=300)
        staged = time.monotonic()
        node.osctl("upgrade", "--activate-only", "--yes", timeout=600)
        ended = time.monotonic()
    if version() != "0.3.0":
        raise RuntimeError(f"the upgrade to 0.3.0 ended with {version()}")
    while_staging, after = poll.gaps(began, staged, 0), poll.gaps(staged, ended)
    bench.row("a whole upgrade", ended - began, "s", note=f"{staged - began:.1f} s of it staging")
    bench.row("  longest time between two answers while it stages", while_staging[0], "s", note=f"asked every {api_poll.EVERY * 1000:.0f} ms")
    bench.row("  without API in all", sum(after), "s", against="a plain reboot's", ratio=sum(after) / sum(reboot),
              note="gaps of 0.25 s and more: " + " ".join(f"{gap:.1f}" for gap in after))
    bench.row("  a plain reboot, without API", sum(reboot), "s", note="gaps: " + " ".join(f"{gap:.1f}" for gap in reboot))
