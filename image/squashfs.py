"""Packs the root, the same every time, and only when it has changed."""

import hashlib
import json
import os
import pathlib

import debian

ALWAYS = ["-all-root", "-no-xattrs", "-noappend", "-no-progress", "-quiet", "-no-exports"]
# Larger blocks pack better, and make a read of one page wait for more.
BLOCK = "128K"


def pack(tree: pathlib.Path, out: pathlib.Path, epoch: int, level: int) -> None:
    """Packs the tree, unless `out` already holds this very tree packed at least as well."""
    command = ["-comp", "zstd", "-b", BLOCK, *ALWAYS, "-mkfs-time", str(epoch), "-all-time", str(epoch)]
    key = hashlib.sha256(json.dumps([command, tree_digest(tree)]).encode()).hexdigest()
    stamp = out.with_suffix(".squashfs.key")
    if out.is_file() and stamp.is_file():
        packed_key, packed_level = stamp.read_text().split()
        if packed_key == key and int(packed_level) >= level:
            return
    stamp.unlink(missing_ok=True)
    out.unlink(missing_ok=True)
    # mksquashfs refuses times given twice.
    env = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    debian.run(["nice", "mksquashfs", tree, out, *command, "-Xcompression-level", str(level)], env=env)
    stamp.write_text(f"{key} {level}")


def tree_digest(tree: pathlib.Path) -> str:
    digest = hashlib.sha256()
    inodes: dict[int, str] = {}
    for path in sorted(tree.rglob("*")):
        status = path.lstat()
        digest.update(f"{path.relative_to(tree)}\0{status.st_mode:o}\0".encode())
        if path.is_symlink():
            digest.update(os.readlink(path).encode())
        elif path.is_file():
            first = inodes.setdefault(status.st_ino, str(path))
            digest.update(first.encode() if first != str(path) else hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
