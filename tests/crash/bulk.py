"""A recording of a whole node, made small enough to look at every state that matters.

An image's content is thousands of writes of a few KiB each, one behind the other, and what a cut leaves of them differs
in nothing but how much of the content is there. So those that touch become one write, which may be torn anywhere. What
decides is left as it was written: partition tables, FATs, directories, the state partition. What no verdict looks at, the
data partition, is left out; its flushes are flushes of the disk and stay.
"""

import dataclasses

import write_log

BLOCK = 4096
LARGEST = 4 << 20


@dataclasses.dataclass(frozen=True)
class Ranges:
    """Bytes of the disk, as (start, end)."""
    ranges: tuple[tuple[int, int], ...]

    def hold(self, write: write_log.Entry) -> bool:
        return any(start <= write.offset and write.offset + write.size <= end for start, end in self.ranges)

    def touch(self, write: write_log.Entry) -> bool:
        return any(start < write.offset + write.size and write.offset < end for start, end in self.ranges)


def without(epochs: list[write_log.Epoch], ignored: Ranges) -> list[write_log.Epoch]:
    """Epochs without the writes inside `ignored`; those that have nothing left are joined with the next."""
    found: list[write_log.Epoch] = []
    open_epoch = write_log.Epoch([], [])
    for epoch in epochs:
        marks = list(epoch.marks)
        for index, write in enumerate(epoch.writes):
            while marks and marks[0][0] <= index:
                open_epoch.marks.append((len(open_epoch.writes), marks.pop(0)[1]))
            if not ignored.hold(write):
                open_epoch.writes.append(write)
        open_epoch.marks += [(len(open_epoch.writes), text) for _, text in marks]
        if open_epoch.writes:
            found.append(open_epoch)
            open_epoch = write_log.Epoch([], [])
    # The last epoch is what no flush followed, perhaps nothing.
    if open_epoch.marks or (epochs and not epochs[-1].writes):
        found.append(open_epoch)
    return found


def joined(epoch: write_log.Epoch, content: Ranges, single: Ranges) -> write_log.Epoch:
    """The epoch with writes of content that touch made one; never one that touches `single`."""
    places: list[list[write_log.Entry]] = []  # what becomes one write
    number: list[int] = []  # for each write its place
    ends: dict[int, int] = {}  # where a piece of content ends → its place
    seen: set[int] = set()  # blocks that were written in this epoch
    for write in epoch.writes:
        blocks = set(range(write.offset // BLOCK, -(-(write.offset + write.size) // BLOCK)))
        free = write.kind is write_log.Kind.WRITE and not write.fua and content.hold(write) and not single.touch(write) and not blocks & seen
        place = ends.pop(write.offset, None) if free else None
        if place is None or sum(piece.size for piece in places[place]) + write.size > LARGEST:
            place = len(places)
            places.append([])
        places[place].append(write)
        number.append(place)
        if free:
            ends[write.offset + write.size] = place
        seen |= blocks
    writes = [pieces[0] if len(pieces) == 1 else _one(pieces) for pieces in places]
    # A mark stands behind the writes that had all ended by then.
    marks = [(max(number[:count], default=-1) + 1, text) for count, text in epoch.marks]
    return write_log.Epoch(writes, marks)


def _one(pieces: list[write_log.Entry]) -> write_log.Entry:
    data = memoryview(b"".join(bytes(piece.data) for piece in pieces))
    return write_log.Entry(write_log.Kind.WRITE, pieces[0].offset, len(data), data)
