"""Puts the root together as a directory: listed files, the libraries they link, the kernel modules.

The directory is what tests/node starts init on, and what mksquashfs packs. Owners do not matter in it: everything in the
packed root is root's. `check` then looks at the result with fresh eyes and refuses what must never be there.
"""

import dataclasses
import os
import pathlib
import shutil
import stat

import debian
import elf
import modules
import rootlist

LIBRARY_DIRECTORY = "/usr/lib/x86_64-linux-gnu"
LOADER = "ld-linux-x86-64.so.2"

SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "csh", "tcsh", "fish", "rbash", "busybox", "toybox", "sash"}
INTERPRETERS = {"python", "perl", "ruby", "lua", "luajit", "tclsh", "node", "nodejs", "php", "awk", "gawk", "mawk", "sed",
                "guile", "expect", "gdb", "bc", "dc"}
INTERPRETER_LIBRARIES = ("libpython", "libperl", "libruby", "liblua", "libtcl", "libnode", "libreadline", "libguile")
# A renamed shell still carries the names of its built-in commands.
SHELL_BUILTINS = (b"unalias", b"getopts", b"ulimit")


@dataclasses.dataclass
class File:
    path: str  # in the root
    origin: str  # package name, or build, image, made, kernel
    executable: bool = False
    library: bool = False


class Root:
    def __init__(self, tree: pathlib.Path):
        self.tree = tree
        self.files: dict[str, File] = {}
        if tree.exists():
            make_writable(tree)
            shutil.rmtree(tree)
        tree.mkdir(parents=True)

    def add(self, entries: list[rootlist.Entry], sources: "Sources") -> None:
        libraries: list[tuple[str, pathlib.Path]] = []
        for entry in entries:
            if entry.kind == "dir":
                directory = self._at(entry.words[0])
                directory.mkdir(parents=True, exist_ok=True)
                directory.chmod(int(entry.words[1], 8) if len(entry.words) > 1 else 0o755)
            elif entry.kind == "link":
                self._at(entry.words[0], parents=True).symlink_to(entry.words[1])
            elif entry.kind == "hard":
                self._at(entry.words[0], parents=True).hardlink_to(self._at(entry.words[1]))
                self.files[entry.words[0]] = File(entry.words[0], self.files[entry.words[1]].origin, executable=True)
            elif entry.kind in ("file", "exec"):
                for source in sources.find(entry):
                    path = entry.words[0] + source.name if entry.words[0].endswith("/") else entry.words[0]
                    self._copy(source, File(path, entry.source[0], executable=entry.kind == "exec"), entry.where)
            elif entry.kind == "lib":
                libraries.append((entry.words[0], sources.find(entry)[0]))
        for name, source in libraries:
            self._library(name, source, sources.owner(source))
        self._close_libraries(sources)

    def add_modules(self, kernel: modules.Kernel, selection: modules.Selection) -> None:
        # /lib is a link into /usr here; depmod follows it, our bookkeeping uses the real place.
        for file in modules.install(kernel, selection.root, self.tree):
            path = "/usr/" + str(file.relative_to(self.tree))
            self.files[path] = File(path, "kernel")

    def _copy(self, source: pathlib.Path, file: File, where: str) -> None:
        target = self._at(file.path, parents=True)
        if target.exists() or target.is_symlink():
            raise debian.Error(f"{where}: {file.path} enters twice")
        if source.stat().st_mode & (stat.S_ISUID | stat.S_ISGID):
            raise debian.Error(f"{where}: {source} is setuid or setgid")
        shutil.copyfile(source, target)
        target.chmod(0o755 if file.executable else 0o644)
        self.files[file.path] = file

    def _library(self, name: str, source: pathlib.Path, package: str) -> None:
        """Enters under the name it is looked up by, in the directory its package has it in."""
        folder = LIBRARY_DIRECTORY + ("/systemd" if source.parent.name == "systemd" else "")
        path = f"{folder}/{name}"
        if path not in self.files:
            self._copy(source.resolve(), File(path, package, library=True), name)

    def _close_libraries(self, sources: "Sources") -> None:
        queue = [path for path, file in self.files.items() if file.executable or file.library]
        while queue:
            path = queue.pop()
            binary = elf.read(self._at(path))
            if binary is None:
                continue
            for name in binary.needed:
                if name == LOADER:
                    continue
                source, package = sources.library(name, wanted_by=path)
                before = set(self.files)
                self._library(name, source, package)
                queue.extend(set(self.files) - before)

    def _at(self, path: str, parents: bool = False) -> pathlib.Path:
        if not path.startswith("/"):
            raise debian.Error(f"{path}: paths in the root begin with /")
        target = self.tree / path[1:]
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        return target


class Sources:
    """Where the entries' sources are on this machine."""

    def __init__(self, packages: dict[str, pathlib.Path], folders: dict[str, pathlib.Path]):
        """`packages`: name to unpacked tree; `folders`: what build:, image: and made: stand for."""
        self._packages = packages
        self._folders = folders
        self._libraries: dict[str, tuple[pathlib.Path, str]] = {}
        for name, tree in packages.items():
            for pattern in ("usr/lib/x86_64-linux-gnu/*.so*", "usr/lib/x86_64-linux-gnu/systemd/*.so*", "lib/x86_64-linux-gnu/*.so*"):
                for file in tree.glob(pattern):
                    self._libraries.setdefault(file.name, (file, name))

    def find(self, entry: rootlist.Entry) -> list[pathlib.Path]:
        scheme, path = entry.source
        base = self._folders.get(scheme) or self._packages.get(scheme)
        if base is None:
            raise debian.Error(f"{entry.where}: no source called {scheme}")
        found = sorted(base.glob(path.lstrip("/")))
        if not found:
            hint = ": run ./dev build first" if scheme == "build" else ""
            raise debian.Error(f"{entry.where}: {scheme} has no {path}{hint}")
        return found

    def library(self, name: str, wanted_by: str) -> tuple[pathlib.Path, str]:
        if name not in self._libraries:
            raise debian.Error(f"{wanted_by} needs {name}, which no listed package has: add its package to a libs line")
        return self._libraries[name]

    def owner(self, source: pathlib.Path) -> str:
        return next(name for name, tree in self._packages.items() if source.is_relative_to(tree))


def check(tree: pathlib.Path, files: dict[str, File]) -> None:
    """Refuses a shell, an interpreter, a setuid or setgid file, capabilities, and whatever nobody listed."""
    wrong = []
    for file in sorted(tree.rglob("*")):
        if file.is_symlink() or file.is_dir():
            continue
        path = "/" + str(file.relative_to(tree))
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):
            wrong.append(f"{path}: neither file, directory nor link")
            continue
        if mode & (stat.S_ISUID | stat.S_ISGID) or "security.capability" in os.listxattr(file):
            wrong.append(f"{path}: setuid, setgid or capabilities")
        if path not in files:
            wrong.append(f"{path}: not listed")
        wrong.extend(f"{path}: {reason}" for reason in program_faults(file, mode, files.get(path)))
    if wrong:
        raise debian.Error("the root holds what it must not:\n  " + "\n  ".join(wrong))


def program_faults(file: pathlib.Path, mode: int, known: File | None) -> list[str]:
    faults = []
    with open(file, "rb") as opened:
        script = opened.read(2) == b"#!"
    binary = elf.read(file)
    program = bool(mode & 0o111) or script or (binary is not None and binary.executable)
    if program and not (known and known.executable):
        faults.append("an executable that is not listed as one")
    base = file.name.rstrip("0123456789.")
    if program and (file.name in SHELLS or base in SHELLS):
        faults.append("a shell")
    if program and (file.name in INTERPRETERS or base in INTERPRETERS):
        faults.append("an interpreter")
    if script:
        faults.append("a script")
    if binary is not None:
        faults.extend(f"links {name}" for name in binary.needed if name.startswith(INTERPRETER_LIBRARIES))
        if program and all(name in file.read_bytes() for name in SHELL_BUILTINS):
            faults.append("a shell under another name")
    return faults


def make_writable(tree: pathlib.Path) -> None:
    for folder, _, _ in os.walk(tree):
        os.chmod(folder, 0o755)
