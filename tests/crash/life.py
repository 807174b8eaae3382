"""The life of the real image on a real node, recorded from the disk's first boot on: an upgrade with osctl to an image with
another loader, firmware's own counting, the gate's blessing, and a rollback, which is counted and blessed as well.

Nothing in the node knows that it is recorded. What the lab marks on the disk is marked here by how long the log was: before
a call is made, and after it returned.
"""

import dataclasses
import functools
import json
import mmap
import pathlib
import shutil
import subprocess
import sys
import time

import boot_model
import bulk
import devices
import disk as image_disk
import explore
import ext4_state
import fat
import firmware
import image_file
import scenarios
import states
import write_log

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "tests/vm"))

import harness  # noqa: E402
import variants  # noqa: E402

DISK_SIZE = 5 << 30  # larger than stele.raw, so that its growing at the first boot is recorded too
VERSIONS = {"A": "0.1.0", "B": "0.2.0"}
PHASES = (("begin", "A", "A", False), ("stage", "A", "A", False), ("stage-done", "A", "AB", False), ("activate", "AB", "AB", None),
          ("activate-done", "B", "AB", True), ("reboot", "B", "AB", None), ("good", "B", "AB", False), ("rollback", "AB", "AB", None),
          ("rollback-done", "A", "AB", True), ("reboot-back", "A", "AB", None), ("back", "A", "AB", False))


def files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """A is what was built, B another version of it with another loader."""
    loader = folder / "loader.efi"
    if not loader.exists() or loader.read_bytes() != scenarios.new_loader():
        loader.write_bytes(scenarios.new_loader())
    return {"A": harness.IMAGE / "stele.img", "B": variants.make("good", VERSIONS["B"], out=folder / "B.img", loader=loader)}


@dataclasses.dataclass
class Life(explore.Recording):
    sizes: list[tuple[int, str]]  # how long the log was at each mark
    images: dict[str, pathlib.Path]
    flipped: bool  # whether the firmware's BootOrder begins with the new loader in the end

    def epochs(self) -> list[write_log.Epoch]:
        return epochs(self.base, tuple(self.sizes), self.log)

    def known(self) -> boot_model.Known:
        loaders, images, roots = {}, {}, {}
        for name, file in self.images.items():
            found = image_file.read(file)
            with open(file, "rb") as opened:
                data = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
            for part, offset, kept in zip(found.manifest.parts, found.offsets, (loaders, images, roots)):
                kept[name] = data[offset:offset + part.size]
        return boot_model.Known(loaders, images, roots)


@functools.lru_cache(maxsize=1)
def epochs(base: pathlib.Path, sizes: tuple, log: pathlib.Path) -> list[write_log.Epoch]:
    parts = image_disk.layout(base.stat().st_size)
    data, esp = parts["STELE-DATA"], parts["ESP"]
    slots = [(part.start, part.start + part.size) for part in (parts["STELE-ROOT-A"], parts["STELE-ROOT-B"])]
    # The gap behind the data partition holds the copy of the partition table.
    found = bulk.without(write_log.epochs(write_log.read(log, sizes=list(sizes))), bulk.Ranges(((data.start, data.start + data.size),)))
    with open(base, "rb") as opened:
        volume = fat.Fat(lambda offset, size: opened.seek(offset) and opened.read(size), esp.start, esp.size)
        folders = [volume.root, *(file.cluster for _, file in volume.walk() if file.is_directory())]
        clusters = [cluster for folder in folders for cluster in volume.chain(folder, 16)[0]]
        single = bulk.Ranges(tuple((volume.offset(cluster), volume.offset(cluster) + volume.cluster_size) for cluster in clusters))
        content = bulk.Ranges((*slots, (volume.offset(2), esp.start + esp.size)))
    return [bulk.joined(epoch, content, single) for epoch in found]


def scenario() -> scenarios.Scenario:
    # A disk that was written, not installed, has no boot entries: firmware finds the removable path by itself.
    before = (boot_model.FALLBACK_LOADER,)
    new = (scenarios.new_loader_path(),) * scenarios.TRIES_AND_ONE
    # Behind the new one until it is blessed, alone from then on: at each cut either is possible.
    return scenarios.Scenario("life", "", scenarios.Layout(()), tuple(scenarios.phase(*row) for row in PHASES), (before, new + before, new), "activate")


class Recorder:
    """A node whose disk is recorded, and the marks."""

    def __init__(self, folder: pathlib.Path):
        self.log, self.base = folder / "log", folder / "base.raw"
        self.sizes: list[tuple[int, str]] = []
        for file in (self.base, self.log):
            file.unlink(missing_ok=True)
        self.node = harness.Node("crash-life", firmware="ovmf", write_log=self.log, disk_size=DISK_SIZE, lifetime=1500)
        devices.make_disk(self.base, harness.IMAGE / "stele.raw", DISK_SIZE)
        subprocess.run(["cp", "--sparse=always", self.base, self.node.machine.disk()], check=True)

    def mark(self, text: str) -> None:
        self.sizes.append((self.log.stat().st_size, text))
        print(f"  {text}: {self.sizes[-1][0] >> 20} MiB of log", flush=True)

    def wait_good(self, slot: str) -> None:
        def good():
            found = self.node.get("slots").get(slot, {}).get("body", {})
            return found.get("running") and found.get("state") == "SLOT_STATE_GOOD"
        self.node.wait_for(f"slot {slot} runs and is good", good, 420)

    def rebooting(self, *words: str) -> None:
        """Carries out an osctl that ends with a reboot; marks when it returned and when the machine was reset."""
        with self.node.machine.events() as wait:
            self.node.osctl(*words, timeout=300)  # the disk is slow: one request at a time
            self.mark("rollback-done" if words[0] == "rollback" else "activate-done")
            wait("RESET", 180)
        self.mark("reboot-back" if words[0] == "rollback" else "reboot")


def record(folder: pathlib.Path) -> Life:
    folder.mkdir(parents=True, exist_ok=True)
    images = files(folder)
    recorder = Recorder(folder)
    node, began = recorder.node, time.monotonic()
    recorder.node.machine.start()
    try:
        recorder.mark("begin")
        node.wait_api(240)
        node.wait_service("kubelet", 300)
        recorder.mark("stage")
        node.osctl("upgrade", "--image", images["B"], "--yes", "--stage-only", timeout=420)
        recorder.mark("stage-done")
        recorder.mark("activate")
        recorder.rebooting("upgrade", "--activate-only", "--no-wait", "--yes")
        recorder.wait_good("b")
        recorder.mark("good")
        recorder.mark("rollback")
        recorder.rebooting("rollback", "--no-wait", "--yes")
        recorder.wait_good("a")
        recorder.mark("back")
        node.osctl("shutdown", "--yes", timeout=120)
        node.machine.wait_end(120)
    finally:
        node.machine.stop()
        node.machine.disk().unlink(missing_ok=True)
    flipped = firmware.boot_order((node.folder / "ovmf-vars.fd").read_bytes())[:1] == [scenarios.new_loader_path()]
    (folder / "life.json").write_text(json.dumps({"sizes": recorder.sizes, "seconds": time.monotonic() - began, "flipped": flipped}))
    shutil.copy(node.machine.serial, folder / "serial.log")
    return load(folder)


def load(folder: pathlib.Path) -> Life:
    """A recording that was made before."""
    told = json.loads((folder / "life.json").read_text())
    return Life(scenario(), folder / "base.raw", folder / "log", told["seconds"], [tuple(size) for size in told["sizes"]], files(folder), told["flipped"])


def explore_state(life: Life, budget: states.Budget, work: pathlib.Path, most: int) -> explore.Report:
    """STELE-STATE in the same states: each content of it once, up to `most`, mounted and read by the product's classes."""
    began = time.monotonic()
    size = life.base.stat().st_size
    part = image_disk.layout(size)["STELE-STATE"]
    region = ext4_state.Region(part.start, part.size)
    outside = bulk.Ranges(((0, part.start), (part.start + part.size, size)))
    space = states.Space(life.base, bulk.without(life.epochs(), outside), budget)
    enumerator = states.Enumerator(space, budget)
    chosen = explore.sample(enumerator.states(), most, budget.seed)
    report = explore.Report("life-state", sum(len(epoch.writes) for epoch in space.epochs), len(space.epochs) - 1)
    base, marks = ext4_state.pieces(life.base, region), [text for epoch in space.epochs for _, text in epoch.marks]
    for state in chosen:
        with ext4_state.mounted(state, base, work, region) as folder:
            found = state_faults(ext4_state.kept(folder), marks[:state.lowest], marks[:state.highest])
        report.lost += bool(found)
        if found and len(report.examples) < explore.KEPT_EXAMPLES:
            report.examples.append(f"{'; '.join(found)} ({state.cut})")
    report.made, report.distinct = enumerator.made, len({state.hash for state in chosen})
    report.runs["old or new"] = len(chosen) - report.lost
    report.seconds = time.monotonic() - began
    return report


def state_faults(found: dict[str, list[str]], done: list[str], begun: list[str]) -> list[str]:
    """`done` are the marks that were certainly set, `begun` those that may have been."""
    problems = [f"damaged: {line}" for line in found.get("damaged", [])]
    manifests = set(found.get("manifest", []))
    if "stage-done" in done and f"b {VERSIONS['B']}" not in manifests:
        problems.append(f"what is staged is not known: {sorted(manifests)}")
    if f"a {built_version()}" not in manifests:
        problems.append(f"what runs is not known: {sorted(manifests)}")
    boots = int(found["boots"][0].split()[0]) if "boots" in found else 0
    least, most = 1 + ("good" in done) + ("back" in done), 1 + ("reboot" in begun) + ("reboot-back" in begun)
    if "stage" in done and not least <= boots <= most:
        problems.append(f"{boots} boots are known; {least} to {most} should be")
    return problems


@functools.cache
def built_version() -> str:
    return image_file.read(harness.IMAGE / "stele.img").manifest.version
