#!/usr/bin/env python3
"""Image files of other versions for tests, made in seconds from the image that was built: good ones, and ones that break.

    import variants
    file = variants.make("kubelet-hangs", version="0.2.0")

Each is signed with the keys of the built image. Fields of assemble.Ingredients may be given to change the rest, such as
minimum_version, architecture or keys. From the shell: image/variants.py KIND [VERSION] prints the file's path.
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil
import sys
import tempfile
from typing import Callable

import assemble
import debian
import image_file
import initramfs
import squashfs

IMAGE = pathlib.Path(__file__).resolve().parent.parent / "build/image"
FASTEST = 1  # zstd's level


@dataclasses.dataclass(frozen=True)
class Kind:
    what: str
    replace: tuple[str, str] | None = None  # a program of the root, and what it becomes: pause, or fail
    early_init: str | None = None  # what the initramfs' /init becomes
    change_uki: Callable[[bytes], bytes] | None = None  # before the manifest is made
    change_file: Callable[[pathlib.Path], None] | None = None  # after it was signed


def truncated(uki: bytes) -> bytes:
    """Headers and the first sections whole, most of the kernel and the initramfs gone."""
    return uki[:len(uki) // 3]


def with_flipped_kernel(uki: bytes) -> bytes:
    """Headers and sizes whole, 64 KiB in the middle of the packed kernel other than they were."""
    at = len(uki) // 2  # the kernel is seven eighths of it
    return uki[:at] + bytes(byte ^ 0x10 for byte in uki[at:at + (64 << 10)]) + uki[at + (64 << 10):]


def flip_bits(file: pathlib.Path) -> None:
    """A bit in each of three chunks of the root, so that the header is good and the body is not."""
    begin, size = image_file.read(file).offsets[-1], file.stat().st_size
    with open(file, "r+b") as opened:
        for share in (0.25, 0.5, 0.75):
            at = begin + int((size - begin) * share)
            opened.seek(at)
            byte = opened.read(1)[0]
            opened.seek(at)
            opened.write(bytes([byte ^ 0x10]))


KINDS = {
    "good": Kind("works"),
    "kernel-panics": Kind("the initramfs' init exits at once, which is a kernel panic", early_init="fail"),
    "init-hangs": Kind("the second stage never does anything", replace=("usr/lib/stele/init", "pause")),
    "machined-exits": Kind("machined exits with 1", replace=("usr/lib/stele/machined", "fail")),
    "containerd-exits": Kind("containerd says a line and exits with 1", replace=("usr/bin/containerd", "fail")),
    "apid-hangs": Kind("apid runs and never listens", replace=("usr/lib/stele/apid", "pause")),
    "kubelet-hangs": Kind("the kubelet runs and is never healthy", replace=("usr/bin/kubelet", "pause")),
    "root-flipped": Kind("the file's root has flipped bits under a good header", change_file=flip_bits),
    "kernel-flipped": Kind("the packed kernel has flipped bits, and the manifest says so", change_uki=with_flipped_kernel),
    "uki-truncated": Kind("the UKI ends in its body, and the manifest says so", change_uki=truncated),
}


def make(kind: str, version: str = "0.2.0", image: pathlib.Path = IMAGE, out: pathlib.Path | None = None, **changes) -> pathlib.Path:
    """The image file of that kind, below build/image-variants unless `out` names it; one that is there and fits is kept."""
    of = dataclasses.replace(assemble.Ingredients.load(image / "made/ingredients.json"), version=image_file.check_version(version), **changes)
    out = out or image.parent / "image-variants" / f"{kind}-{version}.img"
    key = hashlib.sha256(json.dumps([kind, dataclasses.asdict(of), image_file.read(image / "stele.img").header.hex(),
                                     pathlib.Path(__file__).read_text()], default=str).encode()).hexdigest()
    stamp = out.with_suffix(".key")
    if out.is_file() and stamp.is_file() and stamp.read_text() == key:
        return out
    stamp.unlink(missing_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{kind}.", dir=out.parent) as work:
        _assemble(KINDS[kind], of, image, pathlib.Path(work)).rename(out)
    stamp.write_text(key)
    return out


def _assemble(kind: Kind, of: assemble.Ingredients, image: pathlib.Path, work: pathlib.Path) -> pathlib.Path:
    programs = {"pause": image / "made/bin/pause"}
    if "fail" in (kind.early_init, kind.replace and kind.replace[1]):
        programs["fail"] = _failing_program(work)
    tree = work / "root"
    # Links cost nothing; whatever is changed gets a file of its own first.
    shutil.copytree(image / "root", tree, symlinks=True, copy_function=lambda source, target, **_: pathlib.Path(target).hardlink_to(source))
    _replace(tree / "usr/lib/os-release", assemble.root_os_release(of.version).encode(), 0o644)
    if kind.replace:
        _replace(tree / kind.replace[0], programs[kind.replace[1]].read_bytes(), 0o755)
    squashfs.pack(tree, work / "root.squashfs", of.epoch, FASTEST)
    if kind.early_init:
        initramfs.early(work / "early.cpio.zst", image / "made/early", programs[kind.early_init], of.epoch, level=FASTEST)
        of = dataclasses.replace(of, early=work / "early.cpio.zst")
    assemble.image(of, work / "root.squashfs", work, kind.change_uki)
    if kind.change_file:
        kind.change_file(work / "stele.img")
    return work / "stele.img"


def _replace(file: pathlib.Path, data: bytes, mode: int) -> None:
    if not file.is_file():
        raise debian.Error(f"{file}: the built root has no such file")
    file.unlink()
    file.write_bytes(data)
    file.chmod(mode)


def _failing_program(work: pathlib.Path) -> pathlib.Path:
    (work / "fail.c").write_text('#include <stdio.h>\nint main(void) { fputs("fail: this program always fails\\n", stderr); return 1; }\n')
    debian.run(["cc", "-static", "-Os", "-s", "-o", work / "fail", work / "fail.c"])
    return work / "fail"


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in KINDS:
        sys.exit("usage: image/variants.py KIND [VERSION]\n" + "\n".join(f"  {name:<16} {kind.what}" for name, kind in KINDS.items()))
    print(make(*sys.argv[1:]))
