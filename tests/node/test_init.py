"""init alone, as PID 1 of fresh namespaces with a scripted machined: init_node_test, test by test.

STELE_TEST_SIZE=N makes the counted scenarios of size N; their full size takes about 80 s in all.
"""

import os
import pathlib
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("STELE_BIN", TOP / "build" / "release" / "bin")) / "init_node_test"


def names():
    """Suite.Test of every test in the program."""
    if not PROGRAM.exists():
        return []
    listed = subprocess.run([PROGRAM, "--gtest_list_tests"], text=True, stdout=subprocess.PIPE, check=True).stdout
    found, suite = [], ""
    for line in listed.splitlines():
        word = line.split("#")[0].strip()
        if line.startswith("  "):
            found.append(suite + word)
        elif word.endswith("."):
            suite = word
    return found


def test_program_was_built():
    assert PROGRAM.exists(), f"{PROGRAM}: run ./dev build"


@pytest.mark.parametrize("name", names())
def test_init(name):
    done = subprocess.run([PROGRAM, f"--gtest_filter={name}"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=300, check=False)
    print(done.stdout[-6000:])
    assert done.returncode == 0, done.stdout[-6000:]
    if "[  SKIPPED ]" in done.stdout:
        pytest.skip(done.stdout.split("Skipped\n")[-1].splitlines()[0])
