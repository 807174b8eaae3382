"""Keys that sign images, through openssl: Ed25519, or ECDSA on P-256 with SHA-256.

A key is a PEM file. What a node compares is the key's id, the SHA-256 of its SubjectPublicKeyInfo.
"""

import dataclasses
import hashlib
import os
import pathlib
import re
import subprocess
import tempfile

import cache
import debian

# A SubjectPublicKeyInfo of each kind begins so, and what follows is the key itself.
ED25519, ED25519_SIZE = bytes.fromhex("302a300506032b6570032100"), 44
P256, P256_SIZE = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"), 91


@dataclasses.dataclass(frozen=True)
class PublicKey:
    name: str
    pem: bytes
    der: bytes  # SubjectPublicKeyInfo

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.der).digest()

    @property
    def ed25519(self) -> bool:
        return self.der.startswith(ED25519)


def public_half(private: pathlib.Path) -> PublicKey:
    return _public(private, [])


def public_key(file: pathlib.Path) -> PublicKey:
    return _public(file, ["-pubin"])


def sign(private: pathlib.Path, message: bytes) -> bytes:
    """The signature of `message`. Ed25519's is the same each time; OpenSSL 3.0's of ECDSA is not."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(message)
        file.flush()
        if public_half(private).ed25519:
            return _openssl("pkeyutl", "-sign", "-inkey", private, "-rawin", "-in", file.name)
        return _openssl("dgst", "-sha256", "-sign", private, file.name)


def development_key() -> pathlib.Path:
    """Made once for each cache. It proves nothing: whoever can read the cache can sign with it."""
    folder = cache.root() / "keys"
    final = folder / "development.pem"
    with cache.locked("keys"):
        if not final.is_file():
            folder.mkdir(mode=0o700, exist_ok=True)
            scratch = folder / f".development.{os.getpid()}"
            scratch.touch(mode=0o600)
            _openssl("genpkey", "-algorithm", "ed25519", "-out", scratch)
            scratch.chmod(0o600)
            scratch.rename(final)
    return final


def trusted(keys: list[PublicKey]) -> dict[str, bytes]:
    """File name → PEM for /usr/share/stele/keys: each key once, no name twice."""
    files: dict[str, PublicKey] = {}
    seen: set[bytes] = set()
    for key in keys:
        if key.id in seen:
            continue
        seen.add(key.id)
        name = f"{key.name}.pem"
        if name in files:
            raise debian.Error(f"two different keys are called {name}: give one of the files another name")
        files[name] = key
    return {name: key.pem for name, key in sorted(files.items())}


def _public(file: pathlib.Path, kind: list[str]) -> PublicKey:
    if not file.is_file():
        raise debian.Error(f"{file}: no such key")
    der = _openssl("pkey", *kind, "-in", file, "-pubout", "-outform", "DER")
    if not (der.startswith(ED25519) and len(der) == ED25519_SIZE or der.startswith(P256) and len(der) == P256_SIZE):
        raise debian.Error(f"{file}: neither an Ed25519 nor an ECDSA P-256 key")
    name = re.sub(r"[^A-Za-z0-9_-]", "-", file.stem)
    return PublicKey(name, _openssl("pkey", *kind, "-in", file, "-pubout"), der)


def _openssl(*words) -> bytes:
    done = subprocess.run(["openssl", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        raise debian.Error(f"openssl {words[0]} {words[-1]}: {told[-1] if told else f'exit {done.returncode}'}")
    return done.stdout
