"""The image file: one signed file that is one version (docs/image-file.md; proto/stele/image/v1/image_file.proto).

    header   magic, format, length, SignedManifest; zeros up to 4096
    parts    loader, UKI, root, each followed by zeros up to the next 4096
"""

import dataclasses
import hashlib
import pathlib
import re
import struct
from typing import BinaryIO, Iterator

import debian
import messages
import signing
import verity

MAGIC, FORMAT = b"STELEIMG", 1
BLOCK = 4096
CHUNK = 1 << 20
LARGEST_MANIFEST = 128 << 10
MOST_SIGNATURES = 8
VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(-[0-9A-Za-z.-]{1,32})?")


@dataclasses.dataclass(frozen=True)
class About:
    """What the manifest says besides what follows from the parts."""
    version: str
    build_id: str
    sbom_sha256: bytes
    verity: verity.Verity
    minimum_version: str = ""
    architecture: str = "x86_64"


def manifest(about: About, parts: list[tuple[str, pathlib.Path]]) -> bytes:
    """The bytes that are signed. `parts` are (LOADER, UKI or ROOT, file), in the file's order."""
    pb = messages.load()
    made = pb.Manifest(version=about.version, architecture=about.architecture, build_id=about.build_id,
                       minimum_version=about.minimum_version, sbom_sha256=about.sbom_sha256, chunk_size=CHUNK,
                       verity=pb.Verity(root_hash=about.verity.root_hash, salt=about.verity.salt, data_blocks=about.verity.data_blocks))
    for kind, file in parts:
        whole, chunks = hashlib.sha256(), []
        for chunk in _chunks(file):
            whole.update(chunk)
            chunks.append(hashlib.sha256(chunk).digest())
        made.parts.add(kind=pb.PartKind.Value(f"PART_KIND_{kind}"), size=file.stat().st_size, sha256=whole.digest(), chunks=chunks)
    return made.SerializeToString(deterministic=True)


def write(out: pathlib.Path, manifest_bytes: bytes, keys: list[pathlib.Path], parts: list[pathlib.Path]) -> None:
    """Signs with every key and writes the file: whole, or not at all."""
    header = signed_header(manifest_bytes, keys)
    scratch = out.with_name(out.name + ".new")
    with open(scratch, "wb") as opened:
        opened.write(header)
        _pad(opened)
        for part in parts:
            for chunk in _chunks(part):
                opened.write(chunk)
            _pad(opened)
    scratch.rename(out)


def signed_header(manifest_bytes: bytes, keys: list[pathlib.Path]) -> bytes:
    """From offset 0 to the end of the signed manifest: what the node asks for first."""
    if not 1 <= len(keys) <= MOST_SIGNATURES:
        raise debian.Error(f"an image is signed with 1 to {MOST_SIGNATURES} keys, not {len(keys)}")
    pb = messages.load()
    signed = pb.SignedManifest(manifest=manifest_bytes)
    for key in keys:
        signed.signatures.add(key_id=signing.public_half(key).id, signature=signing.sign(key, manifest_bytes))
    body = signed.SerializeToString(deterministic=True)
    if len(body) > LARGEST_MANIFEST:
        raise debian.Error(f"the signed manifest has {len(body)} bytes; at most {LARGEST_MANIFEST} are allowed: larger chunks make it smaller")
    return MAGIC + struct.pack("<II", FORMAT, len(body)) + body


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """A file's header, read. It checks the frame, not the signature: nodes and `osctl image verify` do that."""
    signed: object  # SignedManifest
    manifest: object  # Manifest
    header: bytes
    offsets: list[int]  # of each part


def read(file: pathlib.Path) -> ImageFile:
    pb = messages.load()
    with open(file, "rb") as opened:
        start = opened.read(16)
        if len(start) < 16 or start[:8] != MAGIC:
            raise debian.Error(f"{file}: not an image file")
        kind, length = struct.unpack("<II", start[8:])
        if kind != FORMAT or length > LARGEST_MANIFEST:
            raise debian.Error(f"{file}: format {kind}, manifest of {length} bytes")
        header = start + opened.read(length)
    signed = pb.SignedManifest.FromString(header[16:])
    found = pb.Manifest.FromString(signed.manifest)
    offsets, at = [], aligned(len(header))
    for part in found.parts:
        offsets.append(at)
        at = aligned(at + part.size)
    return ImageFile(signed, found, header, offsets)


def head_size(file: pathlib.Path) -> int:
    """How many bytes come before the root part, which is the last one."""
    return read(file).offsets[-1]


def check_version(version: str) -> str:
    if not VERSION.fullmatch(version):
        raise debian.Error(f"{version}: a version is MAJOR.MINOR.PATCH, with an optional -suffix")
    return version


def aligned(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _chunks(file: pathlib.Path) -> Iterator[bytes]:
    with open(file, "rb") as opened:
        while chunk := opened.read(CHUNK):
            yield chunk


def _pad(opened: BinaryIO) -> None:
    opened.write(b"\0" * (-opened.tell() % BLOCK))
