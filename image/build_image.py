#!/usr/bin/env python3
"""Builds the image from build/release/bin and Debian 13's packages into build/image.

    root/             the root as a directory
    root.squashfs     the same, packed
    vmlinuz, initramfs.cpio, cmdline        for qemu -kernel
    stele.efi         the UKI
    stele.raw         a bootable disk
    demo.tar          the demonstration pod's image (not in the root)
    sbom.spdx.json, executables.txt, packages.lock

Nothing here needs root, a loop device or a mount. The same inputs give the same bytes.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import archive
import cache
import cpio
import debian
import disk
import kubelet
import modules
import root
import rootlist
import sbom
import uki

HERE = pathlib.Path(__file__).resolve().parent
KERNEL_METAPACKAGE = "linux-image-cloud-amd64"
ONLY_FOR_BUILDING = ["systemd-boot-efi", "ca-certificates"]
PAUSE_REFERENCE = "stele.local/pause:1"
DEMO_REFERENCE = "stele.local/hello:1"
DISK_SIZE = 4 << 30


def main() -> int:
    options = parse_options()
    out, checkout = options.out, options.checkout
    out.mkdir(parents=True, exist_ok=True)
    made = out / "made"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    epoch = source_date_epoch(checkout)
    version = project_version(checkout)

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
    (made / "modules").write_text("".join(name + "\n" for name in selection.load))
    (made / "ca-certificates.crt").write_bytes(certificates(trees["ca-certificates"]))
    (made / "os-release").write_text(os_release(version))
    archive.write(made / "pause.tar", PAUSE_REFERENCE, programs / "pause", user="65535:65535")
    tree = root.Root(out / "root")
    tree.add(entries, root.Sources(trees, {"build": programs, "image": HERE, "made": made}))
    tree.add_modules(kernel, selection)
    root.check(out / "root", tree.files)
    (out / "executables.txt").write_text(sbom.executables(out / "root", tree.files))
    (out / "sbom.spdx.json").write_text(sbom.spdx(version, epoch, out / "root", tree.files, packages, kernel_package,
                                                  kubelet_file.parent.name if options.kubelet is None else options.kubelet))

    step("root.squashfs")
    squashfs(out / "root", out / "root.squashfs", epoch, level=9 if options.fast else 19)

    step("initramfs and UKI")
    initramfs(out, kernel, selection, epoch)
    shutil.copyfile(kernel.image, out / "vmlinuz")
    command_line = read_command_line(HERE / "cmdline")
    (out / "cmdline").write_text(command_line)
    boot = trees["systemd-boot-efi"] / "usr/lib/systemd/boot/efi"
    (out / "stele.efi").write_bytes(uki.build(boot / "linuxx64.efi.stub", [
        (".osrel", (made / "os-release").read_bytes()), (".cmdline", command_line.encode()),
        (".uname", kernel.version.encode()), (".linux", (out / "vmlinuz").read_bytes()),
        (".initrd", (out / "initramfs.cpio").read_bytes())]))

    step("disk")
    # No `default` line: which entry boots is decided by file names and counters alone.
    disk.build(out / "stele.raw", DISK_SIZE, boot / "systemd-bootx64.efi", out / "stele.efi", f"stele_{version}.efi",
               "timeout 0\neditor no\n", epoch, made)

    step("demo image")
    (made / "demo").mkdir()
    debian.run(["cc", "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none", "-o", made / "demo/hello",
                HERE / "demo/hello.c"])
    archive.write(out / "demo.tar", DEMO_REFERENCE, made / "demo/hello", user="65535:65535")
    step(None)
    report(out)
    return 0


def parse_options() -> argparse.Namespace:
    checkout = HERE.parent
    parser = argparse.ArgumentParser(description="Build Stele's image.")
    parser.add_argument("--out", type=pathlib.Path, default=checkout / "build/image")
    parser.add_argument("--bin", type=pathlib.Path, default=checkout / "build/release/bin", help="our own programs")
    parser.add_argument("--kubelet", metavar="FILE|URL", help="an official kubelet instead of one built from Debian's source")
    parser.add_argument("--list", type=pathlib.Path, action="append", default=[], metavar="FILE", help="enter what FILE lists, too")
    parser.add_argument("--fast", action="store_true", help="pack with zstd level 9: 4 s instead of 2 min, 8 percent larger")
    parser.add_argument("--refresh", action="store_true", help="take the newest package versions instead of the remembered ones")
    options = parser.parse_args()
    options.checkout = checkout
    options.out = options.out.absolute()
    options.bin = options.bin.absolute()
    return options


def source_date_epoch(checkout: pathlib.Path) -> int:
    """Every time in the image: $SOURCE_DATE_EPOCH, else that of the last commit, else the day this was written."""
    if os.environ.get("SOURCE_DATE_EPOCH"):
        return int(os.environ["SOURCE_DATE_EPOCH"])
    done = subprocess.run(["git", "-C", checkout, "log", "-1", "--format=%ct"], capture_output=True, text=True)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 1795392000


def project_version(checkout: pathlib.Path) -> str:
    return (checkout / "VERSION").read_text().strip()


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


def certificates(package: pathlib.Path) -> bytes:
    return b"".join(file.read_bytes().rstrip(b"\n") + b"\n" for file in sorted(package.glob("usr/share/ca-certificates/mozilla/*.crt")))


def os_release(version: str) -> str:
    return (f'NAME=Stele\nID=stele\nVERSION_ID={version}\nIMAGE_ID=stele\nIMAGE_VERSION={version}\n'
            f'PRETTY_NAME="Stele {version}"\n')


def read_command_line(file: pathlib.Path) -> str:
    return " ".join(word for line in file.read_text().splitlines() for word in line.partition("#")[0].split())


def squashfs(tree: pathlib.Path, out: pathlib.Path, epoch: int, level: int) -> None:
    """Packs the tree, unless `out` already holds this very tree packed at least as well."""
    command = ["-comp", "zstd", "-b", "128K", "-all-root", "-no-xattrs", "-noappend", "-no-progress", "-quiet", "-no-exports",
               "-mkfs-time", str(epoch), "-all-time", str(epoch)]
    key = hashlib.sha256(json.dumps([command, tree_digest(tree)]).encode()).hexdigest()
    stamp = out.with_suffix(".squashfs.key")
    if out.is_file() and stamp.is_file():
        packed_key, packed_level = stamp.read_text().split()
        if packed_key == key and int(packed_level) >= level:
            return
    stamp.unlink(missing_ok=True)
    out.unlink(missing_ok=True)
    # mksquashfs refuses times given twice.
    env = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    debian.run(["nice", "mksquashfs", tree, out, *command, "-Xcompression-level", str(level)], env=env)
    stamp.write_text(f"{key} {level}")


def tree_digest(tree: pathlib.Path) -> str:
    digest = hashlib.sha256()
    inodes: dict[int, str] = {}
    for path in sorted(tree.rglob("*")):
        status = path.lstat()
        digest.update(f"{path.relative_to(tree)}\0{status.st_mode:o}\0".encode())
        if path.is_symlink():
            digest.update(os.readlink(path).encode())
        elif path.is_file():
            first = inodes.setdefault(status.st_ino, str(path))
            digest.update(first.encode() if first != str(path) else hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def initramfs(out: pathlib.Path, kernel: modules.Kernel, selection: modules.Selection, epoch: int) -> None:
    """init, the packed root, and the few modules it takes to mount it. Not compressed: the root already is."""
    early = out / "made/early"
    modules.install(kernel, selection.early, early)
    with open(out / "initramfs.cpio.new", "wb") as opened:
        writer = cpio.Writer(opened, epoch)
        for name in ("dev", "proc", "sys", "run", "root"):
            writer.directory(name)
        for path in sorted(early.rglob("*")):
            name = str(path.relative_to(early))
            writer.directory(name) if path.is_dir() else writer.file(name, path)
        writer.file("init", out / "root/usr/lib/stele/init", 0o755)
        writer.file("root.squashfs", out / "root.squashfs")
        writer.close()
    (out / "initramfs.cpio.new").rename(out / "initramfs.cpio")


def report(out: pathlib.Path) -> None:
    for name in ("root.squashfs", "initramfs.cpio", "stele.efi", "stele.raw"):
        status = (out / name).stat()
        print(f"  {name:<16} {status.st_size / 1e6:8.1f} MB" + (f", {status.st_blocks * 512 / 1e6:.1f} MB on disk" if name == "stele.raw" else ""))
    print("  " + (out / "executables.txt").read_text().splitlines()[-1].lstrip("# "))


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
