"""OVMF and systemd-boot on a disk: what really boots, how often it was tried, and what the firmware wrote meanwhile.

The variables of a machine are made here: N boot entries for one loader file, as an installed node has them, so that a
loader which returned (an image that could not be loaded) is entered again without a power cycle.
"""

import dataclasses
import functools
import pathlib
import re
import struct
import subprocess
import time
import uuid

import debian
import efi_store
import lab_disk
import qemu

FOREIGN_ID = "0DD00DD0-0000-4000-8000-000000000001"


@dataclasses.dataclass
class Boot:
    images: list[str]  # what said its name, in order
    torn: list[str]  # those that said so and were not whole
    ended: bool  # the machine powered itself off in time
    seconds: float
    serial: str


@functools.cache
def loader() -> bytes:
    """systemd-boot as the image has it."""
    trixie = debian.trixie()
    tree = trixie.unpack(trixie.fetch(["systemd-boot-efi"])["systemd-boot-efi"])
    return (tree / "usr/lib/systemd/boot/efi/systemd-bootx64.efi").read_bytes()


def variables(template: bytes, loaders: list[str], foreign: tuple[str, ...] = ()) -> bytes:
    """OVMF_VARS with a boot entry for each of `loaders`, paths on the ESP, in that order; then one for each of `foreign`, on a
    disk that is not there."""
    entries = {f"Boot{number:04X}": _load_option(f"Stele {number}", path) for number, path in enumerate(loaders)}
    entries |= {f"Boot{number:04X}": _load_option("Other", path, FOREIGN_ID) for number, path in enumerate(foreign, len(loaders))}
    entries["BootOrder"] = struct.pack(f"<{len(entries)}H", *range(len(entries)))
    return efi_store.with_variables(template, entries)


def _load_option(description: str, path: str, partition: str = lab_disk.ESP_ID) -> bytes:
    drive = struct.pack("<BBHIQQ16sBB", 4, 1, 42, 1, lab_disk.ESP_AT // 512, lab_disk.ESP_SIZE // 512,
                        uuid.UUID(partition).bytes_le, 2, 2)
    name = ("\\" + path.replace("/", "\\")).encode("utf-16-le") + b"\0\0"
    paths = drive + struct.pack("<BBH", 4, 4, 4 + len(name)) + name + b"\x7f\xff\x04\x00"
    return struct.pack("<IH", 1, len(paths)) + description.encode("utf-16-le") + b"\0\0" + paths


def boot(folder: pathlib.Path, disk: pathlib.Path, loaders: list[str], seconds: float = 60, log: pathlib.Path | None = None,
         reboot: bool = True, flash: bytes | None = None) -> Boot:
    """Powers a machine on and waits until an image powers it off, or `seconds` are over. `log` records the disk's writes;
    without `reboot` an image that resets ends it too. `flash`: the firmware's variables, instead of entries for `loaders`."""
    found = qemu.find()
    nvram, serial = folder / "vars.fd", folder / "serial.log"
    nvram.write_bytes(flash or variables(found.ovmf_vars.read_bytes(), loaders))
    serial.unlink(missing_ok=True)
    command = [*found.command, "-machine", "q35,sata=off", "-accel", qemu.accelerator(), "-cpu", qemu.processor(qemu.accelerator()), "-m", "256", "-display", "none", "-nodefaults",
               "-net", "none", "-serial", f"file:{serial}",
               "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={found.ovmf_code}",
               "-drive", f"if=pflash,format=raw,unit=1,file={nvram}", *drive(disk, log, first=flash is None)]
    if not reboot:
        command.append("-no-reboot")
    began = time.monotonic()
    done = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        done.wait(seconds)
        ended = True
    except subprocess.TimeoutExpired:
        ended = False
    finally:
        done.kill()
        errors = done.communicate()[1].decode()
    if ended and done.returncode != 0:
        raise debian.Error(f"qemu: exit {done.returncode}: {errors.strip()}")
    text = serial.read_bytes().decode("latin-1") if serial.exists() else ""
    said = re.findall(r"LAB-IMAGE (\S+) (whole|torn)", text)
    return Boot([name for name, _ in said], [name for name, how in said if how == "torn"], ended, time.monotonic() - began, text)


def drive(disk: pathlib.Path, log: pathlib.Path | None, first: bool = True) -> list[str]:
    """QEMU's words for a virtio disk, recorded in `log` when there is one. The `first` disk is QEMU's wish, for which OVMF
    drops entries of other disks from BootOrder.

    Four descriptors hold one request of two segments: so never two are under way at once, and a write that the log has
    before a flush did end before the flush began. (The log is in order of completion; see write_log.py.)
    """
    node = f"driver=raw,node-name=disk0,discard=unmap,file.driver=file,file.filename={disk}"
    device = "virtio-blk-pci,drive=disk0" + (",bootindex=1" if first else "")
    if log is None:
        return ["-blockdev", node, "-device", device]
    log.write_bytes(b"")
    return ["-blockdev", node.replace("disk0", "data"), "-blockdev", f"driver=file,node-name=log,filename={log}",
            "-blockdev", "driver=blklogwrites,node-name=disk0,file=data,log=log",
            "-device", f"{device},indirect_desc=off,queue-size=4,num-queues=1"]


def boot_order(store: bytes) -> list[str]:
    """The files that the entries of BootOrder start, with slashes; "" for an entry that starts something else."""
    found = efi_store.read(store)
    order = found.get("BootOrder", b"")
    options = [found.get(f"Boot{number:04X}") for number, in struct.iter_unpack("<H", order[:len(order) // 2 * 2])]
    return [_file_of(option) for option in options if option is not None]


def _file_of(option: bytes) -> str:
    length, = struct.unpack_from("<H", option, 4)
    end = next((at for at in range(6, len(option) - 1, 2) if option[at:at + 2] == b"\0\0"), len(option)) + 2
    paths = option[end:end + length]
    while len(paths) >= 4:
        kind, sub, size = struct.unpack_from("<BBH", paths)
        if (kind, sub) == (4, 4):
            return paths[4:size].decode("utf-16-le", "replace").rstrip("\0").lstrip("\\").replace("\\", "/")
        paths = paths[max(size, 4):]
    return ""


def recorded_flash(found: qemu.Qemu, variables: pathlib.Path, log: pathlib.Path) -> list[str]:
    """A machine with OVMF whose flash of variables is `variables`; each write to it goes into `log`, in order. Flash has no
    cache: a write is there before the next one begins."""
    log.write_bytes(b"")
    return ["-machine", "q35,sata=off,pflash0=code,pflash1=vars", "-blockdev", f"driver=file,node-name=code,read-only=on,filename={found.ovmf_code}",
            "-blockdev", f"driver=file,node-name=vars-data,filename={variables}", "-blockdev", f"driver=file,node-name=vars-log,filename={log}",
            "-blockdev", "driver=blklogwrites,node-name=vars,file=vars-data,log=vars-log"]
