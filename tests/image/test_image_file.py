"""The signed image file, looked at with nothing but its proto, openssl and veritysetup: no writer of ours checks itself."""

import hashlib
import importlib.util
import struct
import subprocess

import pytest
from conftest import TOP, digest

pytestmark = pytest.mark.timeout(600)
LOADER, UKI, ROOT = 1, 2, 3


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pb")
    subprocess.run(["protoc", "-I", TOP / "proto", f"--python_out={folder}", "stele/image/v1/image_file.proto"], check=True)
    found = importlib.util.spec_from_file_location("image_file_pb2", folder / "stele/image/v1/image_file_pb2.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def signed(built, pb):
    with open(built / "stele.img", "rb") as opened:
        magic, form, length = struct.unpack("<8sII", opened.read(16))
        assert (magic, form) == (b"STELEIMG", 1) and length <= 128 << 10
        found = pb.SignedManifest.FromString(opened.read(length))
        assert set(opened.read(-opened.tell() % 4096)) <= {0}
    return found


@pytest.fixture(scope="module")
def manifest(signed, pb):
    return pb.Manifest.FromString(signed.manifest)


@pytest.fixture(scope="module")
def offsets(signed, manifest):
    found, at = [], -(-(16 + signed.ByteSize()) // 4096) * 4096
    for part in manifest.parts:
        found.append(at)
        at += -(-part.size // 4096) * 4096
    return found + [at]


def public_der(key):
    return subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout


def test_the_manifest_says_what_was_asked_for(built, manifest):
    assert (manifest.version, manifest.architecture, manifest.minimum_version) == ("1.2.3-test", "x86_64", "1.0.0")
    assert manifest.sbom_sha256.hex() == digest(built / "sbom.spdx.json")
    head = subprocess.run(["git", "-C", TOP, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert manifest.build_id.removesuffix("-dirty") == (head or "unknown")
    assert manifest.chunk_size == 1 << 20
    assert [part.kind for part in manifest.parts] == [LOADER, UKI, ROOT]


def test_every_chunk_and_part_has_its_hash_and_zeros_lie_between(built, manifest, offsets):
    assert (built / "stele.img").stat().st_size == offsets[-1]
    with open(built / "stele.img", "rb") as opened:
        for part, begin, end in zip(manifest.parts, offsets, offsets[1:]):
            opened.seek(begin)
            whole, left = hashlib.sha256(), part.size
            assert len(part.chunks) == -(-part.size // manifest.chunk_size)
            for wanted in part.chunks:
                chunk = opened.read(min(left, manifest.chunk_size))
                left -= len(chunk)
                whole.update(chunk)
                assert hashlib.sha256(chunk).digest() == wanted
            assert left == 0 and whole.digest() == part.sha256
            assert set(opened.read(end - opened.tell())) <= {0}


def test_openssl_verifies_the_signature_and_refuses_another_manifest(signed, keys, tmp_path):
    [signature] = signed.signatures
    assert signature.key_id == hashlib.sha256(public_der(keys["ours"])).digest()
    (tmp_path / "signature").write_bytes(signature.signature)
    other = bytearray(signed.manifest)
    other[len(other) // 2] ^= 1
    for manifest, status in ((signed.manifest, 0), (bytes(other), 1)):
        (tmp_path / "manifest").write_bytes(manifest)
        done = subprocess.run(["openssl", "pkeyutl", "-verify", "-inkey", keys["ours"], "-rawin", "-in", tmp_path / "manifest",
                               "-sigfile", tmp_path / "signature"], capture_output=True)
        assert done.returncode == status, done.stderr


def test_the_root_trusts_the_key_that_signed_and_the_one_that_was_named(built, keys):
    trusted = {file.name: file.read_bytes() for file in (built / "root/usr/share/stele/keys").iterdir()}
    wanted = {name: subprocess.run(["openssl", "pkey", "-in", keys[key], "-pubout"], check=True, capture_output=True).stdout
              for name, key in (("ours.pem", "ours"), ("next-public.pem", "next"))}
    assert trusted == wanted


def test_the_parts_are_the_files(built, manifest, offsets):
    names = ("stele.efi", "root.img")
    for part, begin, name in zip(manifest.parts[1:], offsets[1:], names):
        with open(built / "stele.img", "rb") as opened:
            opened.seek(begin)
            assert hashlib.sha256(opened.read(part.size)).hexdigest() == digest(built / name)


def test_veritysetup_takes_the_root_and_refuses_it_with_one_bit_changed(built, manifest, tmp_path):
    verity = manifest.verity
    assert verity.salt.hex() == digest(built / "root.squashfs")
    assert f"stele.root={verity.root_hash.hex()}:{verity.data_blocks}:{verity.salt.hex()}" in (built / "cmdline").read_text().split()
    root = tmp_path / "root.img"
    root.write_bytes((built / "root.img").read_bytes())
    command = ["/sbin/veritysetup", "verify", "--no-superblock", "--hash=sha256", "--data-block-size=4096", "--hash-block-size=4096",
               f"--data-blocks={verity.data_blocks}", f"--hash-offset={verity.data_blocks * 4096}", f"--salt={verity.salt.hex()}",
               root, root, verity.root_hash.hex()]
    assert subprocess.run(command, capture_output=True).returncode == 0
    for offset in (verity.data_blocks * 4096 // 2, verity.data_blocks * 4096 + 100):  # data, tree
        with open(root, "r+b") as opened:
            opened.seek(offset)
            byte = opened.read(1)[0]
            opened.seek(offset)
            opened.write(bytes([byte ^ 1]))
        assert subprocess.run(command, capture_output=True).returncode != 0
        with open(root, "r+b") as opened:
            opened.seek(offset)
            opened.write(bytes([byte]))
