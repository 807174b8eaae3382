"""Looks at the ext4 partitions of a disk file from outside, and puts files there, while no machine runs."""

import json
import pathlib
import subprocess
import tempfile


def partitions(disk):
    """{label: (offset, size)} in bytes."""
    done = subprocess.run(["sfdisk", "--json", str(disk)], check=True, capture_output=True, text=True)
    table = json.loads(done.stdout)["partitiontable"]
    return {p.get("name", ""): (p["start"] * table["sectorsize"], p["size"] * table["sectorsize"]) for p in table["partitions"]}


def place(disk, label):
    """A partition as e2fsprogs name it; without a label the whole disk."""
    return str(disk) if label is None else f"{disk}?offset={partitions(disk)[label][0]}"


def header(disk, label):
    """What dumpe2fs says of a file system: {"Block count": "131072", …}."""
    text = subprocess.run(["dumpe2fs", "-h", place(disk, label)], check=True, capture_output=True, text=True).stdout
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def problems(disk, label):
    """What is unclean about a file system: its state, a journal to replay, what a full read-only check says."""
    found, said = [], header(disk, label)
    if said["Filesystem state"] != "clean":
        found.append(f"state: {said['Filesystem state']}")
    if "needs_recovery" in said["Filesystem features"]:
        found.append("its journal needs recovery")
    check = subprocess.run(["e2fsck", "-fn", place(disk, label)], capture_output=True, text=True)
    if check.returncode != 0:
        found.append(f"e2fsck -fn: exit {check.returncode}: {check.stdout.strip()}")
    return found


def put(disk, label, files):
    """Writes {path: bytes} into a clean file system, with the folders they need."""
    with tempfile.TemporaryDirectory() as work:
        commands = []
        for number, (path, content) in enumerate(files.items()):
            source = pathlib.Path(work, str(number))
            source.write_bytes(content)
            folders = list(reversed(pathlib.PurePosixPath(path).parents))[1:]
            commands += [f"mkdir {folder}" for folder in folders] + [f"write {source} {path}"]
        _debugfs(place(disk, label), commands, writable=True)
    for path, content in files.items():
        assert get(disk, label, path) == content, path


def get(disk, label, path):
    """A file's bytes; None where there is none."""
    with tempfile.TemporaryDirectory() as work:
        target = pathlib.Path(work, "file")
        _debugfs(place(disk, label), [f"dump {path} {target}"])
        return target.read_bytes() if target.exists() and _is_there(place(disk, label), path) else None


def _is_there(where, path):
    return "Inode:" in _debugfs(where, [f"stat {path}"])


def _debugfs(where, commands, writable=False):
    done = subprocess.run(["debugfs", *(["-w"] if writable else []), "-f", "-", where], input="\n".join(commands) + "\n",
                          capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stderr
    return done.stdout
