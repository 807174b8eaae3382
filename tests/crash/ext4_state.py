"""A partition with ext4 in a disk state, as the next boot finds it: e2fsck as machined runs it (storage_format.h), then the
kernel's ext4, then the classes that machined reads it with (crash_check).

Needs root and a loop device; a machine without is an error that says so.
"""

import contextlib
import dataclasses
import os
import pathlib
import subprocess

import debian
import lab
import lab_disk
import states


@dataclasses.dataclass(frozen=True)
class Region:
    """Where a partition lies on its disk."""
    start: int
    size: int


LAB_STATE = Region(lab_disk.STATE_AT, lab_disk.STATE_SIZE)


@contextlib.contextmanager
def mounted(state: states.State, base_pieces: list[tuple[int, bytes]], work: pathlib.Path, region: Region = LAB_STATE):
    """Yields the folder where the partition is mounted; `base_pieces` are what it held before the recording."""
    work.mkdir(parents=True, exist_ok=True)
    partition, folder = work / "partition", work / "mounted"
    folder.mkdir(exist_ok=True)
    start, end = region.start, region.start + region.size
    with open(partition, "wb") as out:
        out.truncate(region.size)
        for offset, data in base_pieces:
            out.seek(offset)
            out.write(data)
        for offset, data in state.changes():
            if start <= offset < end:
                out.seek(offset - start)
                out.write(data)
    heal(partition)
    debian.run(["mount", "-t", "ext4", "-o", "loop,noatime,nosuid,nodev,noexec", partition, folder])
    try:
        yield folder
    finally:
        debian.run(["umount", folder])


def heal(partition: pathlib.Path) -> None:
    """CheckFilesystem(force): mends what can be mended without loss, else all."""
    for words in (["-p"], ["-f", "-y"]):
        done = e2fsck(words, partition)
        if done.returncode < 4:
            return
    raise debian.Error(f"e2fsck gave up: {done.stdout.strip()[-300:]}")


def e2fsck(words: list[str], partition: pathlib.Path) -> subprocess.CompletedProcess:
    return subprocess.run(["e2fsck", *words, partition], capture_output=True, text=True,
                          env=os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})


def pieces(base: pathlib.Path, region: Region = LAB_STATE) -> list[tuple[int, bytes]]:
    """What the partition holds in a sparse disk file."""
    found = []
    start, end = region.start, region.start + region.size
    with open(base, "rb") as opened:
        at = start
        while True:
            try:
                data = os.lseek(opened.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but holes behind
                return found
            if data >= end:
                return found
            at = min(os.lseek(opened.fileno(), data, os.SEEK_HOLE), end)
            opened.seek(data)
            found.append((data - start, opened.read(at - data)))


def check(work: pathlib.Path) -> str:
    """What a full check finds in the partition that was mounted last; "" when nothing."""
    done = e2fsck(["-f", "-n"], work / "partition")
    return "" if done.returncode == 0 else done.stdout.strip()


def kept(folder: pathlib.Path) -> dict[str, list[str]]:
    """What the product's classes read in a mounted STELE-STATE: for each kind the words behind it, a string a line."""
    found: dict[str, list[str]] = {}
    for line in lab.check("state", folder):
        kind, _, rest = line.partition(" ")
        found.setdefault(kind, []).append(rest)
    return found
