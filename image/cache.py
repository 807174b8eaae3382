"""Where downloads and other reusable results live: outside the checkout, shared by all checkouts of a user.

STELE_CACHE names the place; otherwise root has /var/cache/stele and everybody else $XDG_CACHE_HOME/stele.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile


def root() -> pathlib.Path:
    if os.environ.get("STELE_CACHE"):
        path = pathlib.Path(os.environ["STELE_CACHE"])
    elif os.geteuid() == 0:
        path = pathlib.Path("/var/cache/stele")
    else:
        path = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "stele"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(name: str):
    """Holds a lock shared by all checkouts: two builds at once must not write the same cache entry."""
    directory = root() / "locks"
    directory.mkdir(exist_ok=True)
    with open(directory / name, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def new_directory(final: pathlib.Path):
    """Yields a scratch directory that becomes `final` only when the body succeeds, so a cache entry is whole or absent."""
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    try:
        scratch.chmod(0o755)
        yield scratch
        if final.exists():
            shutil.rmtree(final)
        scratch.rename(final)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
