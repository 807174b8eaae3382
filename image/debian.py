"""Packages of a Debian release, fetched and unpacked beside whatever release the host runs.

apt itself does the fetching, with lists, state and cache directories of its own, so signatures are checked the way
apt always checks them and the host's package database is never touched. What a name resolved to is written to a lock
file in the cache: two builds take the same bytes until somebody asks for a refresh.
"""

import dataclasses
import hashlib
import json
import pathlib
import re
import shutil
import subprocess

import cache

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
DEFAULT_SECURITY = "http://deb.debian.org/debian-security"


class Error(Exception):
    """Something the person at the keyboard can act on; printed without a traceback."""


@dataclasses.dataclass(frozen=True)
class Package:
    name: str
    version: str
    file: str  # name of the .deb
    sha256: str


def host_mirrors(etc_apt: pathlib.Path = pathlib.Path("/etc/apt")) -> tuple[str, str]:
    """The archive and security archive this machine already uses, so a local mirror or proxy is honoured."""
    uris = []
    for file in sorted([etc_apt / "sources.list", *etc_apt.glob("sources.list.d/*")]):
        if file.suffix not in (".list", ".sources") or not file.is_file():
            continue
        for line in file.read_text().splitlines():
            found = re.match(r"(?:deb(?:\s+\[[^]]*\])?|URIs:)\s+(\S+)", line)
            if found and found[1].startswith(("http", "file:", "copy:")):
                uris.append(found[1].rstrip("/"))
    security = [uri for uri in uris if uri.endswith("debian-security")]
    plain = [uri for uri in uris if uri.endswith("/debian")]
    return (plain or [DEFAULT_MIRROR])[0], (security or [DEFAULT_SECURITY])[0]


class Release:
    """One Debian release, e.g. Release("trixie", ["trixie", "trixie-updates"], ["trixie-security"])."""

    def __init__(self, name: str, suites: list[str], security_suites: list[str], source: bool = False):
        self.name = name
        self._suites = suites
        self._security_suites = security_suites
        self._types = "deb-src" if source else "deb"
        self._dir = cache.root() / "debian" / name
        self._updated = False

    @property
    def _lock_path(self) -> pathlib.Path:
        return self._dir / "packages.lock.json"

    def fetch(self, names: list[str], refresh: bool = False) -> dict[str, Package]:
        """Downloads the newest version of each name, or the one the lock file remembers."""
        with cache.locked(f"debian-{self.name}"):
            lock = {} if refresh else self._read_lock()
            missing = [name for name in names if name not in lock]
            if missing:
                self._update()
                lock.update({package.name: package for package in self._resolve(missing)})
            self._download([lock[name] for name in names])
            self._write_lock(lock)
        return {name: lock[name] for name in names}

    def unpack(self, package: Package) -> pathlib.Path:
        """The package's files, as a directory in the cache."""
        final = self._dir / "unpacked" / f"{package.name}_{package.version.replace(':', '%3a')}_{package.sha256[:12]}"
        with cache.locked(f"unpack-{self.name}-{package.name}"):
            if not final.is_dir():
                with cache.new_directory(final) as scratch:
                    run(["dpkg-deb", "-x", self.deb(package), scratch])
        return final

    def deb(self, package: Package) -> pathlib.Path:
        return self._dir / "debs" / package.file

    def fetch_source(self, name: str) -> pathlib.Path:
        """The unpacked source package `name`, patches applied."""
        with cache.locked(f"debian-{self.name}"):
            self._update()
            version = max_version(self._apt_cache("showsrc", "--only-source", name))
            final = self._dir / "source" / f"{name}_{version.replace(':', '%3a')}"
            if not final.is_dir():
                with cache.new_directory(final) as scratch:
                    self._apt_get("--only-source", "--download-only", "source", f"{name}={version}", cwd=scratch)
                    [dsc] = scratch.glob("*.dsc")
                    run(["dpkg-source", "--no-check", "-x", dsc.name, "tree"], cwd=scratch)
        return final / "tree"

    def real_package(self, metapackage: str, refresh: bool = False) -> str:
        """What a metapackage such as linux-image-cloud-amd64 stands for: its first dependency, remembered like a version."""
        known = self._dir / "metapackages.json"
        with cache.locked(f"debian-{self.name}"):
            names = json.loads(known.read_text()) if known.is_file() and not refresh else {}
            if metapackage not in names:
                self._update()
                depends = re.search(r"^Depends: (.*)$", self._apt_cache("show", metapackage), re.M)
                if not depends:
                    raise Error(f"{self.name}: {metapackage} depends on nothing")
                names[metapackage] = re.split(r"[ :(|,]", depends[1])[0]
                known.write_text(json.dumps(names, sort_keys=True) + "\n")
        return names[metapackage]

    def _resolve(self, names: list[str]) -> list[Package]:
        out = self._apt_get("--print-uris", "download", *names)
        by_name = {}
        for line in out.splitlines():
            found = re.match(r"'([^']+)' (\S+) \d+ SHA256:([0-9a-f]{64})$", line)
            if found:
                name, version = found[2].split("_")[:2]
                by_name[name] = Package(name, version.replace("%3a", ":"), found[2], found[3])
        lost = [name for name in names if name not in by_name]
        if lost:
            raise Error(f"{self.name}: apt does not know {' '.join(lost)}")
        return [by_name[name] for name in names]

    def _download(self, packages: list[Package]) -> None:
        debs = self._dir / "debs"
        debs.mkdir(parents=True, exist_ok=True)
        absent = [p for p in packages if not (debs / p.file).is_file()]
        if not absent:
            return
        self._update()
        print(f"fetching {len(absent)} package(s) of {self.name}", flush=True)
        with cache.new_directory(self._dir / "incoming") as scratch:
            self._apt_get("-q", "download", *[f"{p.name}={p.version}" for p in absent], cwd=scratch)
            for package in absent:
                digest = hashlib.sha256((scratch / package.file).read_bytes()).hexdigest()
                if digest != package.sha256:
                    raise Error(f"{package.file}: sha256 is {digest}, the lock file says {package.sha256}; "
                                "run ./dev image --refresh to resolve versions anew")
                (scratch / package.file).rename(debs / package.file)
        shutil.rmtree(self._dir / "incoming", ignore_errors=True)

    def _update(self) -> None:
        """Refreshes the package lists, once a run."""
        if self._updated:
            return
        if not pathlib.Path(KEYRING).is_file():
            raise Error(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
        for part in ("lists/partial", "cache/archives/partial", "empty"):
            (self._dir / part).mkdir(parents=True, exist_ok=True)
        (self._dir / "status").touch()
        archive, security = host_mirrors()
        (self._dir / "debian.sources").write_text("\n".join(
            f"Types: {self._types}\nURIs: {uri}\nSuites: {' '.join(suites)}\nComponents: main\nSigned-By: {KEYRING}\n"
            for uri, suites in ((archive, self._suites), (security, self._security_suites)) if suites))
        self._apt_get("-q", "update")
        self._updated = True

    def _options(self) -> list[str]:
        here = self._dir
        values = {
            "Dir::State": here, "Dir::State::lists": here / "lists", "Dir::State::status": here / "status",
            "Dir::Cache": here / "cache", "Dir::Cache::archives": here / "cache/archives",
            "Dir::Etc::sourcelist": here / "debian.sources", "Dir::Etc::sourceparts": here / "empty",
            "Dir::Etc::preferences": "/dev/null", "Dir::Etc::preferencesparts": here / "empty",
            "APT::Architecture": "amd64", "APT::Architectures": "amd64", "APT::Default-Release": "",
            "APT::Get::AllowUnauthenticated": "false", "Acquire::AllowInsecureRepositories": "false",
            "Acquire::Languages": "none", "Acquire::Retries": "3",
            # The cache belongs to whoever builds; apt's own unprivileged user could not write there.
            "APT::Sandbox::User": "root",
        }
        return [word for key, value in values.items() for word in ("-o", f"{key}={value}")]

    def _apt_get(self, *words: str, cwd: pathlib.Path | None = None) -> str:
        return run(["apt-get", *self._options(), *words], cwd=cwd)

    def _apt_cache(self, *words: str) -> str:
        return run(["apt-cache", *self._options(), *words])

    def _read_lock(self) -> dict[str, Package]:
        if not self._lock_path.is_file():
            return {}
        return {name: Package(**entry) for name, entry in json.loads(self._lock_path.read_text()).items()}

    def _write_lock(self, lock: dict[str, Package]) -> None:
        text = json.dumps({name: dataclasses.asdict(lock[name]) for name in sorted(lock)}, indent=1) + "\n"
        scratch = self._lock_path.with_suffix(".new")
        scratch.write_text(text)
        scratch.rename(self._lock_path)


def trixie() -> Release:
    return Release("trixie", ["trixie", "trixie-updates"], ["trixie-security"])


def bookworm_backports() -> Release:
    return Release("bookworm-backports", ["bookworm-backports"], [])


def bookworm_source() -> Release:
    return Release("bookworm-source", ["bookworm"], [], source=True)


def max_version(showsrc: str) -> str:
    versions = re.findall(r"^Version: (\S+)$", showsrc, re.M)
    if not versions:
        raise Error("no such source package")
    best = versions[0]
    for version in versions[1:]:
        if subprocess.run(["dpkg", "--compare-versions", version, "gt", best]).returncode == 0:
            best = version
    return best


def run(command: list, cwd: pathlib.Path | None = None, env: dict | None = None, stdin: pathlib.Path | None = None, text: bool = True):
    """What the command wrote to standard output, as text or bytes; Error when it fails."""
    words = [str(word) for word in command]
    with open(stdin or "/dev/null") as opened:
        try:
            done = subprocess.run(words, cwd=cwd, env=env, stdin=opened, capture_output=True)
        except FileNotFoundError as error:
            raise Error(f"{words[0]} is missing: ./dev installs what image/packages-host lists") from error
    if done.returncode != 0:
        tool = " ".join(word for word in words if not word.startswith(("-o", "Dir::", "APT::", "Acquire::")))
        raise Error(f"{tool}: exit {done.returncode}\n{(done.stderr or done.stdout).decode(errors='replace').strip()}")
    return done.stdout.decode() if text else done.stdout
