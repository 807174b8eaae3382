"""Every disk that a power cut may leave behind, given what was written and when it was flushed.

The disk's cache may write in any order between two flushes, and a write of several sectors may be cut between two of
them. So a state is: all epochs before, and of one epoch any subset of the writes, at most one of them torn. Up to
EXHAUSTIVE writes every subset is made. Beyond, every prefix, every prefix without one of its last writes, all but one,
one alone, and a random choice with a fixed seed up to the budget.

A discard counts as a write of zeros that may or may not have happened. A FUA write is on the disk once a later write is.

The disk is cut into atoms at every edge of a write and at every place where one may be torn, so a state is one version
for each atom. Its hash is the sum of a hash for each atom's content (128 bits), so two states with the same bytes have
the same hash whichever writes made them.
"""

import bisect
import dataclasses
import hashlib
import mmap
import pathlib
import random
from typing import Iterator

import write_log

SECTOR = 512
EXHAUSTIVE = 9
MANY_WRITES = 16  # in an epoch: the data of a file
ZERO = bytes(1 << 20)
MODULUS = 1 << 128


@dataclasses.dataclass(frozen=True)
class Budget:
    subsets: int  # random subsets of an epoch that is too large for all
    torn: int  # torn writes of an epoch
    seed: int = 1


class Space:
    """The disk before the recording, and the pieces that were written to it."""

    def __init__(self, base: pathlib.Path, epochs: list[write_log.Epoch], budget: Budget):
        with open(base, "rb") as opened:
            self._base = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        self.size = len(self._base)
        self.epochs = epochs
        random_tears = random.Random(budget.seed)
        edges = {0, self.size}
        for epoch in epochs:
            for write in epoch.writes:
                edges.update((write.offset, write.offset + write.size))
                edges.update(write.offset + at for at in _tears(write, len(epoch.writes), random_tears))
        self.edges = sorted(edge for edge in edges if edge <= self.size)
        # For each write the range of its atoms, its contents' hashes.
        self.ranges: dict[int, tuple[int, int]] = {}
        self.hashes: dict[int, list[int]] = {}
        self.base_hash: dict[int, int] = {}
        self._writes: list[write_log.Entry] = []
        for epoch in epochs:
            for write in epoch.writes:
                self._add(write)

    def _add(self, write: write_log.Entry) -> None:
        number = len(self._writes)
        first, last = bisect.bisect_left(self.edges, write.offset), bisect.bisect_left(self.edges, min(write.offset + write.size, self.size))
        self._writes.append(write)
        self.ranges[number] = (first, last)
        self.hashes[number] = [self._hash(atom, self.content(atom, number)) for atom in range(first, last)]
        for atom in range(first, last):
            if atom not in self.base_hash:
                self.base_hash[atom] = self._hash(atom, self.content(atom, -1))

    def _hash(self, atom: int, content) -> int:
        return int.from_bytes(hashlib.blake2b(content, digest_size=16, salt=atom.to_bytes(8, "little")).digest(), "little")

    def content(self, atom: int, version: int):
        start, end = self.edges[atom], self.edges[atom + 1]
        if version < 0:
            return self._base[start:end]
        write = self._writes[version]
        if write.kind is write_log.Kind.DISCARD:
            return ZERO[:end - start] if end - start <= len(ZERO) else bytes(end - start)
        return write.data[start - write.offset:end - write.offset]

    def hash_of(self, atom: int, version: int) -> int:
        if version < 0:
            return self.base_hash.get(atom, 0)
        return self.hashes[version][atom - self.ranges[version][0]]


def _tears(write, company: int, choose: random.Random) -> list[int]:
    """Where a write may be cut: every sector of a small one and of the disk's first, where the partition table's header and
    entries are; a few places of a large one; one of one among many."""
    sectors = write.size // SECTOR
    if sectors < 2:
        return []
    if write.offset == 0:
        return [at * SECTOR for at in range(1, min(sectors, 9))]
    if company > MANY_WRITES:
        return [choose.randrange(1, sectors) * SECTOR]
    if sectors <= 16:
        return [at * SECTOR for at in range(1, sectors)]
    return [at * SECTOR for at in {1, 8, sectors - 1, *(choose.randrange(1, sectors) for _ in range(12))}]


class State:
    """One disk. Holds no bytes of its own; valid as long as its Space."""

    def __init__(self, space: Space, durable: list[int], over: dict[int, int], total: int, lowest: int, highest: int, cut: str):
        self.space, self._durable, self._over = space, durable, over
        self.hash = total
        self.lowest, self.highest = lowest, highest  # marks that were set by then: at least, at most
        self.cut = cut  # where the power went, for people

    def _version(self, atom: int) -> int:
        found = self._over.get(atom)
        return self._durable[atom] if found is None else found

    def read(self, offset: int, size: int) -> bytes:
        """The bytes there; what lies beyond the disk's end is missing."""
        end = min(offset + size, self.space.size)
        if offset < 0 or offset >= end:
            return b""
        edges = self.space.edges
        atom = bisect.bisect_right(edges, offset) - 1
        if edges[atom + 1] >= end:  # nearly always
            start = edges[atom]
            return bytes(self.space.content(atom, self._version(atom))[offset - start:end - start])
        pieces = []
        while offset < end:
            start, stop = edges[atom], min(edges[atom + 1], end)
            pieces.append(self.space.content(atom, self._version(atom))[offset - start:stop - start])
            offset, atom = stop, atom + 1
        return b"".join(pieces)

    def pieces(self, offset: int, size: int) -> Iterator[tuple[int, int, int]]:
        """(offset, size, identity) of these bytes piece by piece; a piece of one identity has the same bytes in every state of
        one Space. Ends where the disk does."""
        edges, end = self.space.edges, min(offset + size, self.space.size)
        atom = bisect.bisect_right(edges, offset) - 1
        while offset < end:
            stop = min(edges[atom + 1], end)
            yield offset, stop - offset, self._version(atom)
            offset, atom = stop, atom + 1

    def identity(self, offset: int, size: int) -> tuple:
        """Equal for two states of one Space only if these bytes are equal: what to remember results by."""
        edges = self.space.edges
        first, last = bisect.bisect_right(edges, offset) - 1, bisect.bisect_left(edges, offset + size)
        return (offset, size, *(self.space.hash_of(atom, self._version(atom)) for atom in range(first, last)))

    def differences(self, versions: list[int]) -> Iterator[tuple[int, int]]:
        """(atom, version) where this state has another version of an atom."""
        for atom, other in enumerate(versions):
            version = self._version(atom)
            if version != other:
                yield atom, version

    def changes(self) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) of all that differs from the disk before the recording."""
        for atom in range(len(self.space.edges) - 1):
            version = self._version(atom)
            if version >= 0:
                yield self.space.edges[atom], self.space.content(atom, version)


class Enumerator:
    def __init__(self, space: Space, budget: Budget):
        self.space, self.budget = space, budget
        self.made = 0  # with those that had been seen before

    def states(self) -> Iterator[State]:
        """All states, each content once for each range of marks at which it can be met."""
        durable = [-1] * len(self.space.edges)
        total = sum(self.space.base_hash.values())
        seen: set[tuple[int, int, int]] = set()
        first_write = first_mark = 0
        for number, epoch in enumerate(self.space.epochs):
            choose = random.Random(self.budget.seed * 1000003 + number)
            for parts in _choices(epoch, first_write, self.space, self.budget, choose):
                self.made += 1
                over, changed = self._apply(durable, parts, total)
                last = parts[-1][0] - first_write if parts else -1
                lowest = first_mark + sum(count <= last for count, _ in epoch.marks) if parts else first_mark
                highest = first_mark + len(epoch.marks)
                if (changed, lowest, highest) not in seen:
                    seen.add((changed, lowest, highest))
                    yield State(self.space, durable, over, changed, lowest, highest, _describe(number, epoch, parts, first_write))
            whole = [(first_write + index, *self.space.ranges[first_write + index]) for index in range(len(epoch.writes))]
            over, total = self._apply(durable, whole, total)
            durable = durable.copy()  # states that were handed out keep theirs
            for atom, version in over.items():
                durable[atom] = version
            first_write += len(epoch.writes)
            first_mark += len(epoch.marks)

    def _apply(self, durable: list[int], parts: list, total: int) -> tuple[dict[int, int], int]:
        over: dict[int, int] = {}
        for write, first, last in parts:
            for atom in range(first, last):
                over[atom] = write
        space = self.space
        for atom, version in over.items():
            total += space.hash_of(atom, version) - space.hash_of(atom, durable[atom])
        return over, total % MODULUS


def _choices(epoch: write_log.Epoch, first: int, space: Space, budget: Budget, choose: random.Random) -> Iterator[list]:
    """Lists of (write, first atom, last atom), in the order of the writes."""
    count = len(epoch.writes)
    whole = [(first + index, *space.ranges[first + index]) for index in range(count)]
    forced = [index for index, write in enumerate(epoch.writes) if write.fua]

    def subset(mask: int) -> list:
        for index in forced:
            if mask >> index > 1:  # something later is there
                mask |= 1 << index
        return [whole[index] for index in range(count) if mask >> index & 1]

    for mask in _masks(count, budget, choose):
        yield subset(mask)
    tearable = [index for index in range(count) if whole[index][2] - whole[index][1] > 1]
    cuts = [(index, at) for index in tearable for at in range(whole[index][1] + 1, whole[index][2])]
    if len(cuts) > budget.torn:
        cuts = choose.sample(cuts, budget.torn)
    for index, at in cuts:
        write, start, end = whole[index]
        before, others = subset((1 << index) - 1), subset((1 << count) - 1 & ~(1 << index))
        for company in (before, others):
            for piece in ((write, start, at), (write, at, end)):
                yield sorted([*company, piece])
        mask = choose.getrandbits(count) & ~(1 << index)
        yield sorted([*subset(mask), (write, start, at)])


def _masks(count: int, budget: Budget, choose: random.Random) -> Iterator[int]:
    if count <= EXHAUSTIVE:
        yield from range(1 << count)
        return
    everything = (1 << count) - 1
    for index in range(count + 1):
        prefix = (1 << index) - 1
        yield prefix
        for back in range(2, 6):  # the last write overtook one just before it
            if index >= back:
                yield prefix & ~(1 << index - back)
    for index in range(count):
        yield everything & ~(1 << index)
        yield 1 << index
    for _ in range(budget.subsets):
        density = choose.choice((0.1, 0.3, 0.5, 0.7, 0.9, 0.97))
        upto = choose.randrange(1, count + 1)
        yield sum(1 << index for index in range(upto) if choose.random() < density)


def _describe(number: int, epoch: write_log.Epoch, parts: list, first: int) -> str:
    there = {write - first for write, *_ in parts}
    missing = [index for index in range(max(there, default=-1) + 1) if index not in there]
    text = f"epoch {number}, {len(there)} of {len(epoch.writes)} writes"
    if missing:
        text += ", without " + " ".join(map(str, missing[:12])) + (" ..." if len(missing) > 12 else "")
    return text
