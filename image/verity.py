"""dm-verity for the packed root: the hash tree behind the data, no superblock, and the words for the kernel's command line."""

import dataclasses
import hashlib
import pathlib
import re
import shutil

import debian

BLOCK = 4096


@dataclasses.dataclass(frozen=True)
class Verity:
    root_hash: bytes
    salt: bytes
    data_blocks: int

    def parameter(self) -> str:
        return f"stele.root={self.root_hash.hex()}:{self.data_blocks}:{self.salt.hex()}"


def append(squashfs: pathlib.Path, out: pathlib.Path) -> Verity:
    """Writes `out`: the packed root, zeros up to a whole block, its hash tree. The salt is the packed root's SHA-256, so
    the same root has the same hash wherever it is built, and two roots share no block's hash."""
    digest = hashlib.sha256()
    shutil.copyfile(squashfs, out)
    with open(out, "r+b") as opened:
        while block := opened.read(1 << 20):
            digest.update(block)
        size = -(-opened.tell() // BLOCK) * BLOCK
        opened.truncate(size)
    salt = digest.digest()
    told = debian.run([*_veritysetup("format"), "--data-blocks", size // BLOCK, "--hash-offset", size, "--salt", salt.hex(), out, out])
    found = re.search(r"^Root hash:\s*([0-9a-f]{64})$", told, re.M)
    if not found:
        raise debian.Error(f"veritysetup format told no root hash:\n{told}")
    return Verity(bytes.fromhex(found[1]), salt, size // BLOCK)


def verify(root: pathlib.Path, verity: Verity) -> None:
    """Reads every block against the tree; debian.Error names what does not fit."""
    debian.run([*_veritysetup("verify"), "--data-blocks", verity.data_blocks, "--hash-offset", verity.data_blocks * BLOCK,
                "--salt", verity.salt.hex(), root, root, verity.root_hash.hex()])


def _veritysetup(command: str) -> list:
    return ["/sbin/veritysetup", command, "--no-superblock", "--hash", "sha256", "--data-block-size", BLOCK, "--hash-block-size", BLOCK]
