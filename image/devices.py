"""The disks, media and firmware of a virtual machine, as words for QEMU's command line."""

import json
import pathlib
import shutil
import subprocess

import debian
import qemu

BUSES = ("virtio", "nvme", "scsi", "sata")
SATA_PORTS = {"disk0": 0, "disk1": 1, "cd0": 2, "cd1": 3}  # one device each; QEMU would put all on the first


def block(name: str, file: pathlib.Path, read_only: bool = False, write_log: pathlib.Path | None = None, sector: int = 512,
          form: str = "raw") -> list:
    """A file, raw or qcow2, as block node `name`. With `write_log` every write and flush of guest and firmware is kept there, in the
    format of dm-log-writes, so that a test can put together each disk that a power cut could have left (`disk` needs to
    know of it, too)."""
    below = {"driver": "file", "node-name": f"{name}-file", "filename": str(file), "discard": "unmap", "read-only": read_only}
    above = {"driver": form, "node-name": name, "file": f"{name}-file", "discard": "unmap", "read-only": read_only}
    words = ["-blockdev", json.dumps(below)]
    if write_log:
        if form != "raw":
            raise debian.Error(f"writes are recorded to a raw disk alone, not to {form}")
        write_log.write_bytes(b"")
        words += ["-blockdev", json.dumps({"driver": "file", "node-name": f"{name}-log", "filename": str(write_log)})]
        above = {"driver": "blklogwrites", "node-name": name, "file": f"{name}-file", "log": f"{name}-log",
                 "log-sector-size": sector, "discard": "unmap"}
    return [*words, "-blockdev", json.dumps(above)]


def disk(name: str, bus: str, sector: int, recorded: bool = False) -> list:
    """The device that shows block node `name` to the guest. Buses that need a controller find it in `controllers`.

    A recorded one has one request under way at a time: the log is in order of completion, and a write that ended while a
    flush was under way would pass for flushed. Four descriptors hold one request of two segments."""
    sizes = f"logical_block_size={sector},physical_block_size={sector},write-cache=on"
    if recorded:
        if bus != "virtio":
            raise debian.Error(f"writes are recorded on virtio alone, not on {bus}: other queues hold more than one request")
        sizes += ",indirect_desc=off,queue-size=4,num-queues=1"
    if bus == "virtio":
        return ["-device", f"virtio-blk-pci,drive={name},serial={name},{sizes}"]
    if bus == "nvme":
        return ["-device", f"nvme,drive={name},serial={name},{sizes}"]
    if bus == "scsi":
        return ["-device", f"scsi-hd,bus=scsi.0,drive={name},serial={name},{sizes}"]
    if bus == "sata":
        if sector != 512:
            raise debian.Error("QEMU's SATA disks have sectors of 512 bytes only")
        return ["-device", f"ide-hd,bus=ide.{SATA_PORTS[name]},drive={name},serial={name},write-cache=on"]
    raise debian.Error(f"no bus {bus}: one of {', '.join(BUSES)}")


def cdrom(name: str, bus: str, boot_index: int | None = None) -> list:
    first = "" if boot_index is None else f",bootindex={boot_index}"
    place = f"ide-cd,bus=ide.{SATA_PORTS[name]}" if bus == "sata" else "scsi-cd,bus=scsi.0"
    return ["-device", f"{place},drive={name}{first}"]


def controllers(bus: str, has_cdrom: bool) -> list:
    """SATA's is part of the machine; CDs are on SCSI where nothing is on SATA."""
    return ["-device", "virtio-scsi-pci,id=scsi"] if bus == "scsi" or (has_cdrom and bus != "sata") else []


def firmware(found: qemu.Qemu, variables: pathlib.Path, read_only: bool = False) -> list:
    """OVMF. What it and the guest write into its variables is kept in the file `variables`, unless that is read-only."""
    if not variables.exists():
        shutil.copyfile(found.ovmf_vars, variables)
    return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={found.ovmf_code}",
            "-drive", f"if=pflash,format=raw,unit=1,readonly={'on' if read_only else 'off'},file={variables}"]


def make_disk(target: pathlib.Path, source: pathlib.Path | None, size: int) -> None:
    """An empty disk, or a copy of the disk image `source`, at least `size` bytes long; one that is there is kept. A qcow2 is
    an overlay of its source, which stays as it is, and `size` is then never less than the source's."""
    if target.exists():
        return
    if target.suffix == ".qcow2":
        backing = ["-b", source.absolute(), "-F", source.suffix.removeprefix(".")] if source else []
        debian.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, target, size])
        return
    scratch = target.with_suffix(".new")
    if source is None:
        scratch.touch()
    elif source.suffix == ".qcow2":
        debian.run(["qemu-img", "convert", "-O", "raw", source, scratch])
    else:
        subprocess.run(["cp", "--sparse=always", source, scratch], check=True)
    with open(scratch, "r+b") as opened:
        opened.truncate(max(size, scratch.stat().st_size))
    scratch.rename(target)
