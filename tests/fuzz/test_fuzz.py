"""Every libFuzzer target for a while: STELE_FUZZ_SECONDS each, 20 unless said otherwise.

A finding is left under build/fuzz-findings and fails the test with the command that repeats it. What was
learned stays under build/fuzz-corpus, so that the next run begins where this one stopped.
"""

import os
import pathlib
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
HERE = TOP / "tests" / "fuzz"
BUILD = TOP / "build" / "fuzz"
SECONDS = int(os.environ.get("STELE_FUZZ_SECONDS", "20"))
TARGETS = sorted(source.stem for source in HERE.glob("*_fuzz.cc"))


@pytest.fixture(scope="session")
def targets():
    if shutil.which("clang++") is None:
        pytest.skip("clang++ is missing (Debian: clang)")
    for command in (["cmake", "--preset", "fuzz"], ["ninja", "-C", str(BUILD), *TARGETS]):
        done = subprocess.run(command, cwd=TOP, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-4000:]}"
    return BUILD / "bin"


@pytest.mark.parametrize("name", TARGETS)
def test_finds_nothing(targets, name):
    corpus = TOP / "build" / "fuzz-corpus" / name
    findings = TOP / "build" / "fuzz-findings" / name
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    seeds = HERE / "corpus" / name.removesuffix("_fuzz")
    folders = [str(corpus)] + ([str(seeds)] if seeds.is_dir() else [])
    done = subprocess.run(
        [str(targets / name), f"-max_total_time={SECONDS}", "-max_len=16384", "-timeout=10", "-rss_limit_mb=1024",
         f"-artifact_prefix={findings}/", "-print_final_stats=1", *folders],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS + 120, check=False)
    assert done.returncode == 0, f"repeat with {targets / name} FILE of {findings}\n{done.stdout[-3000:]}"
    runs = [line for line in done.stdout.splitlines() if "number_of_executed_units" in line]
    print(runs)
    assert runs and int(runs[0].split()[-1]) > 100, done.stdout[-1000:]
