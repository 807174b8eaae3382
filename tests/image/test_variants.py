"""The images that VM tests upgrade to are what they say: one thing changed, the rest and the signature good."""

import hashlib
import subprocess
import time

import image_file
import pytest
import signing
import variants

pytestmark = pytest.mark.timeout(600)


def unpacked(root, path):
    return subprocess.run(["unsquashfs", "-cat", root, path], capture_output=True, check=True).stdout


def parts(file, folder):
    """[(size, chunks that do not fit)] with the parts' bytes in folder/0, 1 and 2."""
    found, wrong = image_file.read(file), []
    with open(file, "rb") as opened:
        for number, (part, offset) in enumerate(zip(found.manifest.parts, found.offsets)):
            opened.seek(offset)
            data = opened.read(part.size)
            (folder / str(number)).write_bytes(data)
            step = found.manifest.chunk_size
            wrong.append(sum(hashlib.sha256(data[at:at + step]).digest() != chunk for at, chunk in zip(range(0, len(data), step), part.chunks)))
    return found, wrong


@pytest.mark.parametrize("kind", variants.KINDS)
def test_a_variant(kind, built, keys, tmp_path):
    began = time.monotonic()
    file = variants.make(kind, "2.0.0", image=built, out=tmp_path / "variant.img")
    assert time.monotonic() - began < 60, "seconds on a quiet machine"
    found, wrong = parts(file, tmp_path)
    assert found.manifest.version == "2.0.0" and wrong == [0, 0, 3 if kind == "root-flipped" else 0]
    signature = found.signed.signatures[0]
    (tmp_path / "manifest").write_bytes(found.signed.manifest)
    (tmp_path / "signature").write_bytes(signature.signature)
    subprocess.run(["openssl", "pkeyutl", "-verify", "-inkey", keys["ours"], "-rawin", "-in", tmp_path / "manifest", "-sigfile",
                    tmp_path / "signature"], check=True, capture_output=True)
    if kind == "uki-truncated":
        assert (tmp_path / "1").stat().st_size < (built / "stele.efi").stat().st_size // 2
    if kind == "root-flipped":
        return
    assert b"VERSION_ID=2.0.0\n" in unpacked(tmp_path / "2", "usr/lib/os-release")
    replaced = variants.KINDS[kind].replace
    for program in ("usr/lib/stele/init", "usr/lib/stele/machined", "usr/lib/stele/apid", "usr/bin/kubelet"):
        same = unpacked(tmp_path / "2", program) == (built / "root" / program).read_bytes()
        assert same == (replaced is None or replaced[0] != program)


def test_the_built_root_stays_as_it_was(built, tmp_path):
    before = (built / "root/usr/bin/kubelet").read_bytes(), (built / "root/usr/lib/os-release").read_bytes()
    variants.make("kubelet-hangs", image=built, out=tmp_path / "variant.img")
    assert before == ((built / "root/usr/bin/kubelet").read_bytes(), (built / "root/usr/lib/os-release").read_bytes())


def test_other_fields_and_keys(built, keys, tmp_path):
    file = variants.make("good", "2.0.0", image=built, out=tmp_path / "variant.img", minimum_version="1.9.0", architecture="aarch64",
                         keys=(keys["ecdsa"],))
    found = image_file.read(file)
    assert (found.manifest.minimum_version, found.manifest.architecture) == ("1.9.0", "aarch64")
    assert found.signed.signatures[0].key_id == signing.public_half(keys["ecdsa"]).id


def test_one_that_is_there_is_kept_until_something_changes(built, tmp_path):
    out = tmp_path / "variant.img"
    made = variants.make("good", image=built, out=out).stat().st_mtime_ns
    assert variants.make("good", image=built, out=out).stat().st_mtime_ns == made
    assert variants.make("good", "3.0.0", image=built, out=out).stat().st_mtime_ns != made
