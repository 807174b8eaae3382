"""The parts of the harness by themselves: the log, the states, FAT against mtools, the loader's order."""

import dataclasses
import pathlib
import random
import struct
import subprocess

import pytest

import boot_model
import bulk
import efi_store
import explore
import fat
import firmware
import gpt
import lab_disk
import loader_order
import scenarios
import states
import write_log

SECTOR = 512


def log_file(path: pathlib.Path, entries: list[tuple[int, int, bytes]], counted: int | None = None) -> pathlib.Path:
    """(sector, flags, data) as blklogwrites lays them out; a discard's data gives its size only."""
    made = struct.pack(write_log.SUPER, write_log.MAGIC, 1, len(entries) if counted is None else counted, SECTOR).ljust(SECTOR, b"\0")
    for sector, flags, data in entries:
        made += struct.pack(write_log.ENTRY, sector, len(data) // SECTOR, flags, 0).ljust(SECTOR, b"\0")
        made += b"" if flags & write_log.DISCARD else data
    path.write_bytes(made)
    return path


def block(letter: str, sectors: int = 1) -> bytes:
    return letter.encode() * (sectors * SECTOR)


def all_states(tmp_path, entries, budget=states.Budget(50, 50), size=64):
    base = tmp_path / "base"
    base.write_bytes(block("-", size))
    space = states.Space(base, write_log.epochs(write_log.read(log_file(tmp_path / "log", entries))), budget)
    return list(states.Enumerator(space, budget).states())


def contents(found, first=0, count=4):
    return {bytes(state.read(sector * SECTOR, 1)[0] for sector in range(first, first + count)).decode() for state in found}


def test_the_log_gives_writes_flushes_and_discards(tmp_path):
    log = log_file(tmp_path / "log", [(1, 0, block("a")), (0, 1, b""), (2, 4, block("x", 3)), (5, 2, block("b", 2))])
    kinds = [(entry.kind.name, entry.offset, entry.size, entry.fua) for entry in write_log.read(log)]
    assert kinds == [("WRITE", 512, 512, False), ("FLUSH", 0, 0, False), ("DISCARD", 1024, 1536, False), ("WRITE", 2560, 1024, True)]


def test_what_was_written_after_the_last_flush_is_read_too(tmp_path):
    log = log_file(tmp_path / "log", [(1, 0, block("a")), (0, 1, b""), (1, 0, block("b"))], counted=2)
    assert [entry.kind.name for entry in write_log.read(log)] == ["WRITE", "FLUSH", "WRITE"]


@pytest.mark.parametrize("damage", ["magic", "short", "cut", "flags"])
def test_a_damaged_log_is_refused(tmp_path, damage):
    log = log_file(tmp_path / "log", [(1, 0, block("a", 4))])
    data = bytearray(log.read_bytes())
    if damage == "magic":
        data[0] ^= 1
    elif damage == "flags":
        data[SECTOR + 16] = 0x40
    log.write_bytes(data[:100] if damage == "short" else data[:-SECTOR] if damage == "cut" else data)
    with pytest.raises(write_log.BadLog):
        write_log.read(log)


def test_every_subset_of_a_small_epoch_and_nothing_across_a_flush(tmp_path):
    found = all_states(tmp_path, [(0, 0, block("a")), (1, 0, block("b")), (0, 1, b""), (2, 0, block("c")), (3, 0, block("d"))])
    assert contents(found) == {"----", "a---", "-b--", "ab--", "abc-", "ab-d", "abcd"}
    assert len({state.hash for state in found}) == 7


def test_a_write_is_torn_between_sectors_only(tmp_path):
    assert contents(all_states(tmp_path, [(0, 0, block("a", 3))]), count=3) == {"---", "a--", "aa-", "-aa", "--a", "aaa"}


def test_equal_bytes_are_one_state_whoever_wrote_them(tmp_path):
    found = all_states(tmp_path, [(0, 0, block("a")), (0, 1, b""), (0, 0, block("-")), (0, 1, b""), (0, 0, block("a"))])
    assert contents(found, count=1) == {"a", "-"}
    assert len({state.hash for state in found}) == 2


def test_a_fua_write_is_there_once_a_later_one_is(tmp_path):
    found = contents(all_states(tmp_path, [(0, 2, block("a")), (1, 0, block("b"))]), count=2)
    assert found == {"--", "a-", "ab"}


def test_a_discard_may_have_happened_or_not(tmp_path):
    assert contents(all_states(tmp_path, [(0, 4, block("x"))]), count=1) == {"-", "\0"}


def test_large_epochs_are_sampled_the_same_way_each_time(tmp_path):
    entries = [(number, 0, block(chr(97 + number % 26))) for number in range(40)]
    once, again = (sorted(state.hash for state in all_states(tmp_path, entries)) for _ in range(2))
    assert once == again and len(once) > 100


def whole(path: pathlib.Path) -> states.State:
    space = states.Space(path, write_log.epochs([]), states.Budget(0, 0))
    return next(states.Enumerator(space, states.Budget(0, 0)).states())


def open_esp(path: pathlib.Path) -> fat.Fat:
    state = whole(path)
    esp = next(part for part in gpt.read(state.read, state.space.size) if part.kind == boot_model.ESP_TYPE)
    return fat.Fat(state.read, esp.offset, esp.size)


def test_fat_reads_what_mtools_reads(tmp_path):
    disk = tmp_path / "disk.raw"
    lab_disk.build(disk, scenarios.layout(13, A="stele-2.efi", B="stele-3+2-1.efi", O="a name of forty letters, with blanks.efi"), firmware.loader())
    at = f"{disk}@@{lab_disk.ESP_AT}"
    # Holes in the directory and fragments in the table.
    for command in (["mdel", "-i", at, "::EFI/Linux/FILLER3", "::EFI/Linux/stele-2.efi"], ["mcopy", "-i", at, "/bin/bash", "::EFI/Linux/bash"]):
        subprocess.run(command, check=True)
    volume = open_esp(disk)
    listed = subprocess.run(["mdir", "-i", at, "-/", "-b", "::"], check=True, capture_output=True, text=True).stdout.split("\n")
    files = {path: file for path, file in volume.walk()}
    assert {line.removeprefix("::/").rstrip("/") for line in listed if line} == set(files)
    for path, file in files.items():
        if not file.is_directory():
            out = tmp_path / "out"
            subprocess.run(["mcopy", "-n", "-o", "-i", at, f"::{path}", out], check=True)
            assert volume.content(file) == out.read_bytes(), path
    assert volume.problems() == []


def test_fat_never_trusts_what_it_reads(tmp_path):
    disk = tmp_path / "disk.raw"
    lab_disk.build(disk, scenarios.layout(0, A="stele-2.efi"), firmware.loader())
    choose = random.Random(1)
    original = whole(disk)
    start = lab_disk.ESP_AT
    for _ in range(300):
        noise = {start + choose.choice((0, 0x4000, 0x104000, 0x105000, 0x106000)) + choose.randrange(512): choose.randrange(256) for _ in range(40)}

        def read(offset, size):
            data = bytearray(original.read(offset, size))
            for at, value in noise.items():
                if offset <= at < offset + len(data):
                    data[at - offset] = value
            return bytes(data)

        try:
            volume = fat.Fat(read, start, lab_disk.ESP_SIZE)
            volume.problems()
            volume.find("EFI/Linux/stele-2.efi")
        except fat.BadFat:
            pass


# From the table in systemd 257's src/fundamental/string-util-fundamental.c, oldest first.
VERSIONS = ["122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1", "123.a-1", "123.1-1", "123a-1", "124-1"]


def test_versions_compare_as_in_systemd():
    for i, a in enumerate(VERSIONS):
        for j, b in enumerate(VERSIONS):
            assert loader_order.compare_versions(a, b) == (i > j) - (i < j), (a, b)


@pytest.mark.parametrize("names, first", [
    (["stele-2.efi", "stele-10.efi"], "stele-10.efi"),
    (["stele-2.efi", "stele-3+0-3.efi"], "stele-2.efi"),
    (["stele-2.efi", "stele-3+1-2.efi"], "stele-3+1-2.efi"),
    (["stele-3+0-3.efi", "stele-2+0-3.efi"], "stele-3+0-3.efi"),
    (["stele-3+1-2.efi", "stele-3+2-1.efi"], "stele-3+2-1.efi"),
    (["STELE-~1.EFI", "stele-2.efi"], "stele-2.efi"),
])
def test_the_loader_takes_the_right_entry_first(names, first):
    assert loader_order.loader_order([loader_order.parse_name(name) for name in names])[0].file == first


def test_marks_from_outside_stand_where_the_log_was_that_long(tmp_path):
    log = log_file(tmp_path / "log", [(1, 0, block("a")), (0, 1, b""), (2, 0, block("b"))])
    sizes = [(SECTOR, "first"), (3 * SECTOR, "second"), (100 * SECTOR, "last")]
    found = [entry.text or entry.kind.name for entry in write_log.read(log, sizes=sizes)]
    assert found == ["first", "WRITE", "second", "FLUSH", "WRITE", "last"]


def write(sector: int, letter: str, sectors: int = 8) -> write_log.Entry:
    data = block(letter, sectors)
    return write_log.Entry(write_log.Kind.WRITE, sector * SECTOR, len(data), memoryview(data))


EVERYTHING = bulk.Ranges(((0, 1 << 30),))
NOTHING = bulk.Ranges(())


def test_content_that_touches_becomes_one_write_and_what_decides_does_not():
    epoch = write_log.Epoch([write(0, "a"), write(100, "x"), write(8, "b"), write(16, "c"), write(24, "d")], [(3, "mark")])
    found = bulk.joined(epoch, EVERYTHING, bulk.Ranges(((24 * SECTOR, 32 * SECTOR),)))
    assert [(each.offset // SECTOR, each.size // SECTOR) for each in found.writes] == [(0, 24), (100, 8), (24, 8)]
    assert bytes(found.writes[0].data) == block("a", 8) + block("b", 8) + block("c", 8)
    assert found.marks == [(2, "mark")]


def test_a_block_that_is_written_twice_keeps_its_order():
    epoch = write_log.Epoch([write(0, "a"), write(8, "b"), write(8, "c"), write(16, "d")], [])
    last = {}
    for each in bulk.joined(epoch, EVERYTHING, NOTHING).writes:
        for at in range(0, each.size, SECTOR):
            last[each.offset + at] = bytes(each.data[at:at + 1])
    assert b"".join(last[at * SECTOR] for at in (0, 8, 16)) == b"acd"


def test_what_is_left_out_leaves_marks_and_order():
    epochs = [write_log.Epoch([write(0, "a")], []), write_log.Epoch([write(64, "x")], [(1, "mark")]), write_log.Epoch([write(8, "b"), write(72, "y")], []),
              write_log.Epoch([], [])]
    found = bulk.without(epochs, bulk.Ranges(((64 * SECTOR, 128 * SECTOR),)))
    assert [[each.offset // SECTOR for each in epoch.writes] for epoch in found] == [[0], [8], []]
    assert [epoch.marks for epoch in found] == [[], [(0, "mark")], []]


def test_a_table_without_a_protective_mbr_is_none(tmp_path):
    disk = tmp_path / "disk.raw"
    lab_disk.build(disk, scenarios.layout(0, A="stele-2.efi"), firmware.loader())
    state = whole(disk)
    assert gpt.read(state.read, state.space.size)
    with pytest.raises(gpt.BadTable):
        gpt.read(lambda offset, size: bytes(size) if offset == 0 else state.read(offset, size), state.space.size)


def test_the_flash_is_read_as_the_firmware_reads_it():
    template = b"\xff" * 4096
    store = bytearray(firmware.variables(template, ["EFI/a.efi", "EFI/b.efi"], ("EFI/other.efi",)))
    assert firmware.boot_order(store) == ["EFI/a.efi", "EFI/b.efi", "EFI/other.efi"]
    first = efi_store.STORE_AT + efi_store.STORE_HEADER
    store[first + 2] = efi_store.ADDED & 0xFD  # deleted
    assert firmware.boot_order(store) == ["EFI/b.efi", "EFI/other.efi"]


def test_a_file_counts_only_when_every_byte_is_the_known_one(tmp_path):
    disk = tmp_path / "disk.raw"
    lab_disk.build(disk, scenarios.layout(0, A="stele-2.efi", B="stele-3+3.efi"), firmware.loader())
    volume = open_esp(disk)
    at, _ = volume.extents(volume.find("EFI/Linux/stele-3+3.efi"))[0][0]

    def verdict():
        state = whole(disk)
        return boot_model.Model(explore.known(), state.space.size).judge(state, [lab_disk.LOADER] * scenarios.TRIES_AND_ONE)

    assert (verdict().image, verdict().whole) == ("B", {"A", "B"})
    with open(disk, "r+b") as opened:
        for offset, image in ((at + 0x9000, "A"), (lab_disk.SLOT_A_AT + 5000, None)):  # a byte of B's file, then one of A's root
            opened.seek(offset)
            byte = opened.read(1)[0]
            opened.seek(offset)
            opened.write(bytes([byte ^ 1]))
            opened.flush()
            assert (verdict().image, verdict().broken) == (image, ("stele-3+3.efi",))


def test_a_loader_that_the_firmware_refuses_is_passed_over(tmp_path):
    disk = tmp_path / "disk.raw"
    lab_disk.build(disk, dataclasses.replace(scenarios.layout(0, A="stele-2.efi"), esp_files=((scenarios.new_loader_path(), scenarios.new_loader()),)), firmware.loader())
    state = whole(disk)
    model, order = boot_model.Model(explore.known(), state.space.size), list(scenarios.flipped())
    assert model.judge(state, order).image == "A"
    assert model.judge(state, order, scenarios.REFUSING).image == "A"
    alone = order[:scenarios.TRIES_AND_ONE]
    assert model.judge(state, alone).image == "A"
    assert model.judge(state, alone, scenarios.REFUSING).why == "no loader"
    assert model.judge(state, alone, dataclasses.replace(scenarios.REFUSING, fallback=True)).image == "A"
