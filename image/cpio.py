"""A newc cpio archive, written the same every time: root's, one fixed time, inode numbers in order."""

import pathlib
import stat
from typing import BinaryIO

HEADER = "070701" + "%08X" * 13


class Writer:
    def __init__(self, out: BinaryIO, mtime: int):
        self._out = out
        self._mtime = mtime
        self._inode = 0

    def directory(self, name: str, mode: int = 0o755) -> None:
        self._entry(name, stat.S_IFDIR | mode, b"", links=2)

    def file(self, name: str, source: pathlib.Path, mode: int = 0o644) -> None:
        self._entry(name, stat.S_IFREG | mode, source.read_bytes())

    def close(self) -> None:
        self._inode = -1
        self._mtime = 0
        self._entry("TRAILER!!!", 0, b"")

    def _entry(self, name: str, mode: int, data: bytes, links: int = 1) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, links, self._mtime, len(data), 0, 0, 0, 0, len(encoded), 0)
        header = (HEADER % fields).encode() + encoded
        self._out.write(header + padding(len(header)))
        self._out.write(data)
        self._out.write(padding(len(data)))


def padding(size: int) -> bytes:
    return b"\0" * (-size % 4)
