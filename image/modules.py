"""Kernel modules of the image: what modules.list names, with everything those depend on.

Debian ships .ko.xz without modules.dep. They are unpacked here, so that a booting node spends no time on xz (the root's
own compression keeps them small), and depmod runs over what is left. Nothing is stripped: the signature is the tail.
"""

import fnmatch
import lzma
import pathlib
import shutil

import debian

DEPMOD_FILES = ("modules.dep", "modules.alias", "modules.softdep", "modules.builtin", "modules.order")


class Kernel:
    def __init__(self, package: pathlib.Path, work: pathlib.Path):
        """`package` is the unpacked linux-image package; `work` receives the unpacked modules."""
        [image] = (package / "boot").glob("vmlinuz-*")
        self.image = image
        self.version = image.name.removeprefix("vmlinuz-")
        self.tree = work / "lib/modules" / self.version
        self._source = package / "usr/lib/modules" / self.version
        self._work = work

    def unpack(self) -> None:
        """All modules, with depmod's indexes: the closure is then a look-up."""
        for file in sorted(self._source.rglob("*.ko*")):
            target = self.tree / file.relative_to(self._source).with_suffix("" if file.suffix == ".xz" else ".ko")
            target.parent.mkdir(parents=True, exist_ok=True)
            data = file.read_bytes()
            target.write_bytes(lzma.decompress(data) if file.suffix == ".xz" else data)
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            data = (self._source / name).read_bytes()
            (self.tree / name).write_bytes(data.replace(b".ko.xz", b".ko"))
        depmod(self._work, self.version)

    def closure(self, wanted: set[str]) -> set[str]:
        """The paths below the module tree of `wanted` and everything they depend on, softdeps included."""
        depends = {}
        for line in (self.tree / "modules.dep").read_text().splitlines():
            path, _, rest = line.partition(":")
            depends[path] = rest.split()
        softdeps = self._softdeps()
        by_name = self.by_name()
        found: set[str] = set()
        queue = sorted(wanted)
        while queue:
            path = queue.pop()
            if path in found:
                continue
            found.add(path)
            queue.extend(depends[path])
            queue.extend(by_name[name] for name in softdeps.get(name_of(path), []) if name in by_name)
        return found

    def matching(self, pattern: str) -> set[str]:
        """The paths that a name ("dm-mod") or a path ("kernel/fs/xfs/*") stands for; both may be globs."""
        if "/" in pattern:
            return {path for path in self.paths() if fnmatch.fnmatch(path, pattern) and path.count("/") == pattern.count("/")}
        return {path for path in self.paths() if fnmatch.fnmatch(name_of(path), pattern.replace("-", "_"))}

    def by_name(self) -> dict[str, str]:
        return {name_of(path): path for path in self.paths()}

    def paths(self) -> list[str]:
        return sorted(str(file.relative_to(self.tree)) for file in self.tree.rglob("*.ko"))

    def _softdeps(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for line in (self.tree / "modules.softdep").read_text().splitlines():
            words = line.split()
            if words and words[0] == "softdep":
                found.setdefault(words[1], []).extend(
                    word.replace("-", "_") for word in words[2:] if word not in ("pre:", "post:"))
        return found


class Selection:
    """modules.list, resolved against one kernel."""

    def __init__(self, list_file: pathlib.Path, kernel: Kernel):
        self.load: list[str] = []
        chosen: dict[str, set[str]] = {"early": set(), "load": set(), "ship": set(), "drop": set()}
        for number, line in enumerate(list_file.read_text().splitlines(), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            where = f"{list_file.name}:{number}"
            if len(words) != 2 or words[0] not in chosen:
                raise debian.Error(f"{where}: expected early, load, ship or drop, and one name: {line}")
            kind, what = words
            matching = kernel.matching(what)
            if not matching:
                raise debian.Error(f"{where}: kernel {kernel.version} has no module {what} (built in, or gone)")
            chosen[kind] |= matching
            if kind == "load":
                self.load.append(what)
        drop = chosen["drop"]
        self.loaded = kernel.closure(chosen["load"])
        self.early = kernel.closure(chosen["early"])
        self.root = kernel.closure((chosen["early"] | chosen["load"] | chosen["ship"]) - drop)
        wanted = sorted(self.root & drop)
        if wanted:
            raise debian.Error(f"{list_file.name}: dropped, but something that is listed needs it: {' '.join(map(name_of, wanted))}")


def name_of(path: str) -> str:
    return pathlib.PurePath(path).stem.replace("-", "_")


def install(kernel: Kernel, paths: set[str], tree: pathlib.Path) -> list[pathlib.Path]:
    """Copies the modules into `tree`/lib/modules/<version> and writes indexes of just those. Returns what was written."""
    target = tree / "lib/modules" / kernel.version
    written = []
    for path in sorted(paths):
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kernel.tree / path, file)
        written.append(file)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        (target / name).write_bytes((kernel.tree / name).read_bytes())
    depmod(tree, kernel.version)
    for file in target.glob("modules.*"):
        if file.name in DEPMOD_FILES or file.name in BINARY_INDEXES:
            written.append(file)
        else:
            file.unlink()
    return written


# What libkmod (udev) maps instead of reading the text files.
BINARY_INDEXES = ("modules.dep.bin", "modules.alias.bin", "modules.builtin.bin", "modules.builtin.alias.bin", "modules.symbols.bin")


def depmod(base: pathlib.Path, version: str) -> None:
    debian.run(["/sbin/depmod", "-b", base, version])
