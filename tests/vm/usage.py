"""How full the partitions of a disk file are, and whether their file systems are clean: read from outside, at a moment when
nobody writes."""

import struct

import ext4

FAT_FREE = 0


def of(disk):
    """{label: bytes in use} of all file systems."""
    where = ext4.partitions(disk)
    return {"ESP": _fat32(disk, *where["ESP"])} | {label: _ext4(disk, label) for label in ("STELE-STATE", "STELE-DATA")}


def _fat32(disk, start, size):
    """Clusters that the table has as taken, whether a name leads to them or not."""
    with open(disk, "rb") as opened:
        opened.seek(start)
        boot = opened.read(512)
        sector, per_cluster, reserved, fats = struct.unpack_from("<HBHB", boot, 11)
        total, fat_size = struct.unpack_from("<II", boot, 32)
        assert boot[510:] == b"\x55\xaa" and total * sector <= size, "no FAT32"
        opened.seek(start + reserved * sector)
        table = memoryview(opened.read(fat_size * sector)).cast("I")
    clusters = (total - reserved - fats * fat_size) // per_cluster
    return sum(entry & 0x0FFFFFFF != FAT_FREE for entry in table[2:clusters + 2]) * per_cluster * sector


def _ext4(disk, label):
    about = ext4.header(disk, label)
    return (int(about["Block count"]) - int(about["Free blocks"])) * int(about["Block size"])
