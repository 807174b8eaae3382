"""The flip of the boot order: an upgrade that brings another loader makes boot entries for it, in the firmware's own flash.

crash_lab calls what machined calls, under OVMF, with a kernel that reaches the firmware's services through efivarfs, and
QEMU records the flash. A cut between any two writes must leave an order that begins with one of the two loaders, both of which
are whole on the disk, with the old one behind the new one for a firmware that refuses that, and somebody else's entry in its place
behind ours.
"""

import dataclasses
import pathlib
import random
import re
import subprocess
import time

import boot_model
import explore
import firmware
import lab
import lab_disk
import qemu
import scenarios
import write_log
from lab_disk import LOADER

SOMEBODY = "EFI/other/other.efi"
OLD, NEW = LOADER, scenarios.new_loader_path()
BOOT_SECONDS = 60


@dataclasses.dataclass
class Report:
    name: str = "boot-order"
    writes: int = 0
    distinct: int = 0
    wrong: int = 0  # the order begins with neither loader, has not the old one before somebody's entry, or that is gone
    old: int = 0
    new: int = 0
    booted: int = 0
    agreed: int = 0
    refused: str = ""  # what was started where the firmware refuses the new one that is first
    examples: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0


def record(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path, pathlib.Path]:
    """(the disk, the flash before, what was written to it)."""
    folder.mkdir(parents=True, exist_ok=True)
    disk, base, flash, log = (folder / name for name in ("disk.raw", "flash.before", "flash", "flash.log"))
    layout = dataclasses.replace(scenarios.layout(A="stele-2.efi"), esp_files=((NEW, scenarios.new_loader()),))
    lab_disk.build(disk, layout, firmware.loader())
    base.write_bytes(firmware.variables(qemu.find().ovmf_vars.read_bytes(), [OLD] * scenarios.TRIES_AND_ONE, (SOMEBODY,)))
    flash.write_bytes(base.read_bytes())
    lab.record(folder, "boot-order", disk, {"new-loader": NEW.encode()}, folder / "disk.log", flash, log)
    return disk, base, log


def explore_flash(folder: pathlib.Path, boots: int = 0, seed: int = 1) -> Report:
    began = time.monotonic()
    disk, base, log = record(folder)
    report, store, kept = Report(), bytearray(base.read_bytes()), {}
    for entry in write_log.read(log):
        if entry.kind is not write_log.Kind.WRITE:
            continue
        report.writes += 1
        store[entry.offset:entry.offset + entry.size] = entry.data
        kept.setdefault(explore.sha256(store), (report.writes, bytes(store)))
    for number, content in kept.values():
        order = firmware.boot_order(content)
        report.distinct += 1
        report.old, report.new = report.old + (order[:1] == [OLD]), report.new + (order[:1] == [NEW])
        if not order or order[0] not in (OLD, NEW) or OLD not in order[:order.index(SOMEBODY) if SOMEBODY in order else 0]:
            report.wrong += 1
            report.examples += [f"write {number}: the order is {order}"] if len(report.examples) < explore.KEPT_EXAMPLES else []
    # Few states have the new order, since the flip is among the last writes: half of the boots are of those.
    flipped = [each for each in kept.values() if firmware.boot_order(each[1])[:1] == [NEW]]
    chosen = explore.sample(flipped, (boots + 1) // 2, seed) if boots else []
    chosen += random.Random(seed).sample(list(kept.values()), max(0, boots - len(chosen)))
    for number, content in chosen:
        started, expected = boot(folder, disk, content), firmware.boot_order(content)[0]
        report.booted += 1
        report.agreed += started == expected
        if started != expected:
            report.examples.append(f"write {number}: {started} was started, the order begins with {expected}")
    if boots:
        report.refused = boot(folder, refused_disk(folder), flipped[-1][1])
    report.seconds = time.monotonic() - began
    return report


def refused_disk(folder: pathlib.Path) -> pathlib.Path:
    """The same disk with a new loader that OVMF cannot load, and nothing to start on the removable path."""
    disk = folder / "refused.raw"
    layout = dataclasses.replace(scenarios.layout(A="stele-2.efi"), esp_files=((NEW, b"MZ, and no program"),))
    lab_disk.build(disk, layout, firmware.loader())
    subprocess.run(["mdel", "-i", f"{disk}@@{lab_disk.ESP_AT}", f"::{boot_model.FALLBACK_LOADER}"], check=True)
    return disk


def boot(folder: pathlib.Path, disk: pathlib.Path, content: bytes) -> str:
    """The loader that firmware starts with such a flash, the last one where it tries several."""
    found = firmware.boot(folder, disk, [], BOOT_SECONDS, reboot=False, flash=content)
    told = re.findall(r"BdsDxe: starting Boot\S+ .*?/(\\\S+?\.efi)", found.serial, re.IGNORECASE)
    return told[-1].lstrip("\\").replace("\\", "/") if told and found.images else f"nothing: {found.serial[-200:]!r}"
