#!/usr/bin/env python3
"""Builds the image from build/release/bin and Debian 13's packages into build/image.

    stele.img                               the signed image file: one file is one version
    stele.efi, root.img                     what is in it: the UKI, and the root with its verity tree
    vmlinuz, initramfs.cpio, cmdline        the medium for qemu -kernel: it carries the image file
    stele-medium.efi                        the same as one EFI program
    stele.raw, stele.iso, stele.qcow2, pxe/ made of those
    root/, root.squashfs                    the root as a directory, and packed
    demo.tar                                the demonstration pod's image (not in the root)
    sbom.spdx.json, executables.txt, packages.lock

Nothing here needs root, a loop device or a mount. The same inputs give the same bytes.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import archive
import assemble
import cache
import debian
import disk
import image_file
import initramfs
import kubelet
import media
import modules
import options as command_line
import root
import rootlist
import sbom
import signing
import squashfs

HERE = pathlib.Path(__file__).resolve().parent
KERNEL_METAPACKAGE = "linux-image-cloud-amd64"
ONLY_FOR_BUILDING = ["systemd-boot-efi", "ca-certificates"]
PAUSE_REFERENCE = "stele.local/pause:1"
DEMO_REFERENCE = "stele.local/hello:1"
DISK_SIZE = 4 << 30


def main() -> int:
    options = command_line.parse(HERE.parent)
    out, checkout = options.out, options.checkout
    out.mkdir(parents=True, exist_ok=True)
    made = out / "made"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    epoch = source_date_epoch(checkout)
    version = image_file.check_version(options.version or (checkout / "VERSION").read_text().strip())
    keys = options.key or [signing.development_key()]

    clear_older(options)

    step("packages")
    trixie = debian.trixie()
    entries = rootlist.read([HERE / "root.list", *options.list])
    kernel_package = trixie.real_package(KERNEL_METAPACKAGE, options.refresh)
    packages = trixie.fetch([*rootlist.packages(entries), *ONLY_FOR_BUILDING, kernel_package], options.refresh)
    trees = {name: trixie.unpack(package) for name, package in packages.items()}
    (out / "packages.lock").write_text(json.dumps({n: dataclasses.asdict(p) for n, p in sorted(packages.items())}, indent=1) + "\n")

    step("kubelet")
    kubelet_file = kubelet.get(options.kubelet)
    shutil.copyfile(kubelet_file, made / "kubelet")

    step("root")
    kernel = unpacked_kernel(trees[kernel_package], packages[kernel_package])
    selection = modules.Selection(HERE / "modules.list", kernel)
    programs = stripped_programs(options.bin, made / "bin")
    make_files(made, version, selection, trees, programs)
    trust(made / "keys", keys, options.trust)
    tree = root.Root(out / "root")
    tree.add(entries, root.Sources(trees, {"build": programs, "image": HERE, "made": made}))
    tree.add_modules(kernel, selection)
    root.check(out / "root", tree.files)
    (out / "executables.txt").write_text(sbom.executables(out / "root", tree.files))
    (out / "sbom.spdx.json").write_text(sbom.spdx(version, epoch, out / "root", tree.files, packages, kernel_package,
                                                  kubelet_file.parent.name if options.kubelet is None else options.kubelet))

    step("root.squashfs")
    squashfs.pack(out / "root", out / "root.squashfs", epoch, level=9 if options.fast else 19,
                  together=[f"usr/lib/modules/{kernel.version}/{path}" for path in sorted(selection.loaded)])

    step("image file")
    modules.install(kernel, selection.early, made / "early")
    initramfs.early(made / "early.cpio.zst", made / "early", out / "root/usr/lib/stele/init", epoch, level=9 if options.fast else 19)
    boot = trees["systemd-boot-efi"] / "usr/lib/systemd/boot/efi"
    ingredients = assemble.Ingredients(
        version=version, minimum_version=options.minimum_version or "", build_id=build_id(checkout), epoch=epoch, architecture="x86_64",
        kernel=kernel.image, kernel_version=kernel.version, command_line=read_command_line(HERE / "cmdline"),
        early=made / "early.cpio.zst", stub=boot / "linuxx64.efi.stub", loader=boot / "systemd-bootx64.efi",
        sbom=out / "sbom.spdx.json", keys=tuple(keys))
    ingredients.save(made / "ingredients.json")
    assemble.image(ingredients, out / "root.squashfs", out)

    step("medium")
    assemble.medium(ingredients, out)

    for kind in options.what:
        step(kind)
        {"raw": raw, "iso": iso, "qcow2": qcow2, "pxe": pxe}[kind](options, ingredients)

    step("demo image")
    (made / "demo").mkdir()
    debian.run(["cc", "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none", "-o", made / "demo/hello",
                HERE / "demo/hello.c"])
    archive.write(out / "demo.tar", DEMO_REFERENCE, made / "demo/hello", user="65535:65535")
    step(None)
    report(out, options)
    return 0


def raw(options, of: assemble.Ingredients) -> None:
    name = "stele" if options.sector == 512 else f"stele-{options.sector}"
    disk.build(options.out / f"{name}.raw", DISK_SIZE, options.out / "stele.img", options.sector, of.epoch, options.out / "made/disk")


def iso(options, of: assemble.Ingredients) -> None:
    media.iso(options.out / "stele.iso", options.out / "stele-medium.efi", of.version, of.epoch, options.out / "made/iso")


def qcow2(options, of: assemble.Ingredients) -> None:
    media.qcow2(options.out / "stele.qcow2", options.out / "stele.raw")


def pxe(options, of: assemble.Ingredients) -> None:
    media.pxe(options.out / "pxe", options.out)


def clear_older(options) -> None:
    """What this run does not make anew goes, so that the folder never holds two versions."""
    for file in [f for kind in command_line.KINDS for f in options.out.glob(f"stele*.{kind}")]:
        file.unlink()
    shutil.rmtree(options.out / "pxe", ignore_errors=True)


def source_date_epoch(checkout: pathlib.Path) -> int:
    """Every time in the image: $SOURCE_DATE_EPOCH, else that of the last commit, else the day this was written."""
    if os.environ.get("SOURCE_DATE_EPOCH"):
        return int(os.environ["SOURCE_DATE_EPOCH"])
    done = git(checkout, "log", "-1", "--format=%ct")
    return int(done) if done else 1795392000


def build_id(checkout: pathlib.Path) -> str:
    """Tells builds of one version apart: the commit, and whether anything was changed since."""
    commit = git(checkout, "rev-parse", "HEAD")
    return f"{commit}{'-dirty' if git(checkout, 'status', '--porcelain') else ''}" if commit else "unknown"


def git(checkout: pathlib.Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", checkout, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def unpacked_kernel(package_tree: pathlib.Path, package: debian.Package) -> modules.Kernel:
    final = cache.root() / "kernel" / f"{package.name}_{package.version}_{package.sha256[:12]}"
    with cache.locked("kernel"):
        if not final.is_dir():
            with cache.new_directory(final) as scratch:
                modules.Kernel(package_tree, scratch).unpack()
    return modules.Kernel(package_tree, final)


def stripped_programs(source: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """Copies without symbols: those stay in build/release/bin for whoever debugs."""
    target.mkdir()
    for name in ("init", "machined", "apid", "applets", "pause"):
        if not (source / name).is_file():
            raise debian.Error(f"{source / name} is missing: run ./dev build first")
        debian.run(["strip", "--strip-all", "-o", target / name, source / name])
        (target / name).chmod(0o755)
    return target


def make_files(made: pathlib.Path, version: str, selection: modules.Selection, trees: dict[str, pathlib.Path],
               programs: pathlib.Path) -> None:
    """What root.list calls made:, besides kubelet and keys."""
    (made / "modules").write_text("".join(name + "\n" for name in selection.load))
    (made / "ca-certificates.crt").write_bytes(b"".join(
        file.read_bytes().rstrip(b"\n") + b"\n" for file in sorted(trees["ca-certificates"].glob("usr/share/ca-certificates/mozilla/*.crt"))))
    (made / "os-release").write_text(assemble.root_os_release(version))
    archive.write(made / "pause.tar", PAUSE_REFERENCE, programs / "pause", user="65535:65535")


def trust(folder: pathlib.Path, keys: list[pathlib.Path], trusted: list[pathlib.Path]) -> None:
    """The keys whose images a node with this root takes: always those that signed it, so that the next may be signed alike."""
    folder.mkdir()
    for name, pem in signing.trusted([*map(signing.public_half, keys), *map(signing.public_key, trusted)]).items():
        (folder / name).write_bytes(pem)


def read_command_line(file: pathlib.Path) -> str:
    return " ".join(word for line in file.read_text().splitlines() for word in line.partition("#")[0].split())


def report(out: pathlib.Path, options) -> None:
    names = ["root.img", "stele.efi", "stele.img", "initramfs.cpio"]
    for file in [*(out / name for name in names), *(f for kind in options.what for f in sorted(out.glob(f"stele*.{kind}")))]:
        status = file.stat()
        print(f"  {file.name:<16} {status.st_size / 1e6:8.1f} MB" + (f", {status.st_blocks * 512 / 1e6:.1f} MB on disk" if file.suffix == ".raw" else ""))
    print("  " + (out / "executables.txt").read_text().splitlines()[-1].lstrip("# "))
    if not options.key:
        print("  *** signed with the DEVELOPMENT key: whoever can read this machine's cache can sign for nodes that run it.\n"
              "  *** For nodes that matter: ./dev image --key FILE, see docs/image-file.md")


_step_began = [("", 0.0)]


def step(name: str | None) -> None:
    before, began = _step_began[0]
    if before:
        print(f"{time.monotonic() - began:7.1f} s  {before}", flush=True)
    _step_began[0] = (name or "", time.monotonic())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except debian.Error as error:
        print(f"image: {error}", file=sys.stderr)
        sys.exit(1)
