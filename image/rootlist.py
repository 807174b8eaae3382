"""root.list read into entries. The format is told at the top of that file."""

import dataclasses
import pathlib

import debian

ARGUMENTS = {"dir": (1, 2), "link": (2, 2), "file": (2, 2), "exec": (2, 2), "hard": (2, 2), "lib": (2, 2), "libs": (1, 99)}


@dataclasses.dataclass(frozen=True)
class Entry:
    kind: str
    words: tuple[str, ...]
    where: str  # file:line, for messages

    @property
    def source(self) -> tuple[str, str]:
        """(scheme, path) of a file, exec or lib entry, e.g. ("containerd", "/usr/bin/containerd")."""
        scheme, _, path = self.words[1].partition(":")
        if not path:
            raise debian.Error(f"{self.where}: a source is package:/path, build:name, image:path or made:name")
        return scheme, path


def read(files: list[pathlib.Path]) -> list[Entry]:
    entries = []
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            where = f"{file.name}:{number}"
            low, high = ARGUMENTS.get(words[0], (0, -1))
            if not low <= len(words) - 1 <= high:
                raise debian.Error(f"{where}: not an entry: {line.strip()}")
            entries.append(Entry(words[0], tuple(words[1:]), where))
    return entries


def packages(entries: list[Entry]) -> list[str]:
    """Every Debian package the entries take something from."""
    names = {name for entry in entries if entry.kind == "libs" for name in entry.words}
    for entry in entries:
        if entry.kind in ("file", "exec", "lib") and entry.source[0] not in ("build", "image", "made"):
            names.add(entry.source[0])
    return sorted(names)
