"""From a packed root and a few other files to the signed image file, in the order in which one names the next:

    root.squashfs → root.img with its verity tree → command line, which names the tree's hash → UKI, which holds the
    command line → stele.img, whose manifest names all of them

The image build does this once; image/variants.py does it again with one thing changed.
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil

import image_file
import initramfs
import uki
import verity


@dataclasses.dataclass(frozen=True)
class Ingredients:
    """What an image file is made of, besides its root."""
    version: str
    minimum_version: str
    build_id: str
    epoch: int
    architecture: str
    kernel: pathlib.Path
    kernel_version: str
    command_line: str  # without the root's hash
    early: pathlib.Path  # the small initramfs
    stub: pathlib.Path
    loader: pathlib.Path
    sbom: pathlib.Path
    keys: tuple[pathlib.Path, ...]  # private ones

    def save(self, file: pathlib.Path) -> None:
        file.write_text(json.dumps(dataclasses.asdict(self), default=str, indent=1, sort_keys=True) + "\n")

    @staticmethod
    def load(file: pathlib.Path) -> "Ingredients":
        text = json.loads(file.read_text())
        paths = {name: pathlib.Path(text[name]) for name in ("kernel", "early", "stub", "loader", "sbom")}
        return Ingredients(**text | paths | {"keys": tuple(map(pathlib.Path, text["keys"]))})


def image(of: Ingredients, packed_root: pathlib.Path, out: pathlib.Path, change_uki=None) -> verity.Verity:
    """Makes root.img, cmdline, stele.efi and stele.img in `out`. `change_uki` takes the UKI's bytes and returns others."""
    hashed = verity.append(packed_root, out / "root.img")
    command_line = f"{of.command_line} {hashed.parameter()}"
    (out / "cmdline").write_text(command_line)
    built = program(of, command_line, of.early)
    (out / "stele.efi").write_bytes(change_uki(built) if change_uki else built)
    parts = [("LOADER", of.loader), ("UKI", out / "stele.efi"), ("ROOT", out / "root.img")]
    about = image_file.About(of.version, of.build_id, hashlib.sha256(of.sbom.read_bytes()).digest(), hashed,
                             of.minimum_version, of.architecture)
    image_file.write(out / "stele.img", image_file.manifest(about, parts), list(of.keys), [file for _, file in parts])
    return hashed


def medium(of: Ingredients, out: pathlib.Path) -> None:
    """Makes initramfs.cpio, which carries stele.img, and stele-medium.efi, in the folder where `image` made its files."""
    head = out / "head.img"
    with open(out / "stele.img", "rb") as whole:
        head.write_bytes(whole.read(image_file.head_size(out / "stele.img")))
    initramfs.medium(out / "initramfs.cpio", of.early, head, out / "root.img", of.epoch)
    head.unlink()
    shutil.copyfile(of.kernel, out / "vmlinuz")
    (out / "stele-medium.efi").write_bytes(program(of, (out / "cmdline").read_text(), out / "initramfs.cpio"))


def program(of: Ingredients, command_line: str, initrd: pathlib.Path) -> bytes:
    """A UKI."""
    return uki.build(of.stub, [
        (".osrel", uki_os_release(of.version).encode()), (".cmdline", command_line.encode()), (".uname", of.kernel_version.encode()),
        (".linux", of.kernel.read_bytes()), (".initrd", initrd.read_bytes())])


def uki_os_release(version: str) -> str:
    """For the loader, which orders entries by VERSION_ID, IMAGE_VERSION or BUILD_ID before it looks at their file names. Only
    the file names know which image was activated last, so none of those may be here."""
    return f'NAME=Stele\nID=stele\nIMAGE_ID=stele\nPRETTY_NAME="Stele {version}"\n'


def root_os_release(version: str) -> str:
    """What the running system calls itself."""
    return uki_os_release(version) + f"VERSION_ID={version}\nIMAGE_VERSION={version}\n"
