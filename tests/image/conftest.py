"""The image that the tests of this folder look at is built once, in a folder of its own."""

import hashlib
import pathlib
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "image"))


def build(out, *options):
    return subprocess.run([sys.executable, TOP / "image/build_image.py", "--fast", "--out", out, *options],
                          capture_output=True, text=True)


def digest(file):
    found = hashlib.sha256()
    with open(file, "rb") as opened:
        while block := opened.read(1 << 20):
            found.update(block)
    return found.hexdigest()


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """{name: private PEM}: ours, the one that comes after it, an ECDSA one."""
    folder = tmp_path_factory.mktemp("keys")
    made = {name: folder / f"{name}.pem" for name in ("ours", "next", "ecdsa")}
    for name, file in made.items():
        kind = ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"] if name == "ecdsa" else ["ed25519"]
        subprocess.run(["openssl", "genpkey", "-algorithm", *kind, "-out", file], check=True, capture_output=True)
    return made


@pytest.fixture(scope="session")
def next_public(keys):
    file = keys["next"].with_name("next-public.pem")
    subprocess.run(["openssl", "pkey", "-in", keys["next"], "-pubout", "-out", file], check=True)
    return file


@pytest.fixture(scope="session")
def signed_options(keys, next_public):
    return ["--key", keys["ours"], "--trust", next_public, "--version", "1.2.3-test", "--minimum-version", "1.0.0"]


@pytest.fixture(scope="session")
def built(tmp_path_factory, signed_options):
    out = tmp_path_factory.mktemp("first")
    done = build(out, *signed_options)
    assert done.returncode == 0, done.stderr
    return out
