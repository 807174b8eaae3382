"""VM tests need the image: a missing one is an error with what to do, never a skip."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import harness  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--turns", type=int, default=2, help="changes of image in test_alternating.py")


def pytest_sessionstart(session):
    for path in (harness.IMAGE / "vmlinuz", harness.IMAGE / "initramfs.cpio", harness.IMAGE / "stele.raw", harness.BIN / "osctl"):
        if not path.exists():
            raise pytest.UsageError(f"{path} is missing: run ./dev image first, or ./dev test vm, which does")
