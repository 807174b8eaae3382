"""A recording of a disk's writes, as QEMU's blklogwrites makes it (block/blklogwrites.c, QEMU 10).

The file is dm-log-writes': a superblock of one log sector (magic, version, number of entries, sector size), then for
each entry one log sector with (sector, number of sectors, flags, data length) and, unless it is a discard, the data.
What is peculiar to QEMU:

 - data_len is always 0; a write of zeros has its zeros in the log, so it reads as any write;
 - FUA never occurs: the driver does not offer it, so the block layer turns such a write into a write and a flush.
   It is understood all the same: that write is on the disk when it ends, whatever becomes of others;
 - the superblock counts up to the last flush only (or every 4096th entry). What was written after it is in the file
   and is what a power cut meets, so reading goes on while there are entries;
 - an entry is logged when its request has ended. A write that ends while a flush is under way is logged before that
   flush without being covered by it; firmware.drive() therefore gives the disk a queue that holds one request;
 - there are no marks. Ours are writes to a partition of their own (scenarios.py) and are taken out of the writes here.
"""

import dataclasses
import enum
import mmap
import pathlib
import struct

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
SUPER = "<QQQI"
ENTRY = "<QQQQ"
SECTOR = 512


class Kind(enum.Enum):
    WRITE = 1
    FLUSH = 2
    DISCARD = 3
    MARK = 4


@dataclasses.dataclass(frozen=True)
class Entry:
    kind: Kind
    offset: int = 0  # bytes
    size: int = 0
    data: memoryview | None = dataclasses.field(default=None, repr=False)
    fua: bool = False
    text: str = ""  # of a mark


class BadLog(Exception):
    """The file is not a log, or breaks off inside an entry."""


def read(path: pathlib.Path, marks: tuple[int, int] | None = None, sizes: list[tuple[int, str]] = ()) -> list[Entry]:
    """All entries; writes into the bytes [marks[0], marks[1]) of the disk become marks. `sizes` are marks from outside: how
    large the log was when each was set, in that order."""
    with open(path, "rb") as opened:
        if opened.seek(0, 2) < SECTOR:
            raise BadLog(f"{path}: shorter than a superblock: was nothing flushed?")
        log = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    magic, version, counted, sector = struct.unpack_from(SUPER, log)
    if magic != MAGIC or version != 1:
        raise BadLog(f"{path}: magic {magic:#x}, version {version}")
    if sector < SECTOR or sector & sector - 1 or sector > 1 << 20:
        raise BadLog(f"{path}: sectors of {sector} bytes")
    entries, at, waiting, found = [], sector, list(sizes), 0
    while at + sector <= len(log):
        while waiting and waiting[0][0] <= at:
            entries.append(Entry(Kind.MARK, text=waiting.pop(0)[1]))
        entry, at = _entry(path, log, at, sector, found < counted)
        if entry is None:
            break
        found += 1
        if marks and entry.kind is Kind.WRITE and marks[0] <= entry.offset < marks[1]:
            entry = Entry(Kind.MARK, text=bytes(entry.data).split(b"\0")[0].decode())
        entries.append(entry)
    if found < counted:
        raise BadLog(f"{path}: {counted} entries announced, {found} found")
    return entries + [Entry(Kind.MARK, text=text) for _, text in waiting]


def _entry(path: pathlib.Path, log: memoryview, at: int, sector: int, announced: bool) -> tuple[Entry | None, int]:
    first, count, flags, _ = struct.unpack_from(ENTRY, log, at)
    if flags & ~15:
        raise BadLog(f"{path}: flags {flags:#x} at {at}")
    at += sector
    offset, size = first * sector, count * sector
    if flags & DISCARD:
        return Entry(Kind.DISCARD, offset, size), at
    if flags & MARK:
        text = bytes(log[at:at + size]).split(b"\0")[0].decode()
        return Entry(Kind.MARK, text=text), at + size
    if flags & FLUSH and not size:
        return Entry(Kind.FLUSH), at
    if not size:
        return None, at  # the hole behind the last entry
    if at + size > len(log):
        if announced:
            raise BadLog(f"{path}: ends inside the write of {size} bytes at {offset}")
        return None, at
    # A write with the flush flag flushes first, as a bio with REQ_PREFLUSH does; QEMU never makes one.
    if flags & FLUSH:
        raise BadLog(f"{path}: a write that is a flush too, at {at}")
    return Entry(Kind.WRITE, offset, size, log[at:at + size], bool(flags & FUA)), at + size


@dataclasses.dataclass
class Epoch:
    """What was written between two flushes: any part of it may be on the disk after a power cut."""
    writes: list[Entry]  # writes and discards
    # How many of `writes` had ended when each mark was set: [(count, text)].
    marks: list[tuple[int, str]]


def epochs(entries: list[Entry]) -> list[Epoch]:
    """The last one is what no flush followed, perhaps nothing."""
    found = [Epoch([], [])]
    for entry in entries:
        if entry.kind is Kind.FLUSH:
            # A flush with nothing to flush decides nothing, but a mark before it stays before what follows.
            if found[-1].writes:
                found.append(Epoch([], []))
        elif entry.kind is Kind.MARK:
            found[-1].marks.append((len(found[-1].writes), entry.text))
        else:
            found[-1].writes.append(entry)
    return found
