"""Looks at the ext4 partitions of a disk file from outside, after the machine has ended."""

import json
import subprocess


def partitions(disk):
    """{label: (offset, size)} in bytes."""
    done = subprocess.run(["sfdisk", "--json", str(disk)], check=True, capture_output=True, text=True)
    table = json.loads(done.stdout)["partitiontable"]
    return {p.get("name", ""): (p["start"] * table["sectorsize"], p["size"] * table["sectorsize"]) for p in table["partitions"]}


def problems(disk, label):
    """What is unclean about a file system: its state, a journal to replay, what a full read-only check says."""
    offset, _ = partitions(disk)[label]
    where = f"{disk}?offset={offset}"
    header = subprocess.run(["dumpe2fs", "-h", where], check=True, capture_output=True, text=True).stdout
    found = []
    if "Filesystem state:         clean" not in header:
        found.append(next(line for line in header.splitlines() if line.startswith("Filesystem state:")))
    if "needs_recovery" in header:
        found.append("its journal needs recovery")
    check = subprocess.run(["e2fsck", "-fn", where], capture_output=True, text=True)
    if check.returncode != 0:
        found.append(f"e2fsck -fn: exit {check.returncode}: {check.stdout.strip()}")
    return found
