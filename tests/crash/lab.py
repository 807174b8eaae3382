"""The lab machine: a kernel, crash_lab as init and the few modules it takes, on a disk whose writes are recorded."""

import functools
import pathlib
import re
import subprocess
import tempfile
import time

import build_image
import cpio
import debian
import firmware
import modules
import qemu

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = TOP / "build/release/bin/crash_lab"
CHECK = PROGRAM.with_name("crash_check")
MODULES = ["virtio_blk", "nls_cp437", "nls_ascii", "fat", "vfat", "loop", "efivarfs"]
TOOLS = ["/usr/sbin/mke2fs", "/usr/sbin/e2fsck", "/usr/sbin/mkfs.fat", "/etc/mke2fs.conf"]  # what machined runs
MOST_SECONDS = 240


@functools.cache
def kernel() -> modules.Kernel:
    trixie = debian.trixie()
    name = trixie.real_package(build_image.KERNEL_METAPACKAGE, False)
    package = trixie.fetch([name])[name]
    return build_image.unpacked_kernel(trixie.unpack(package), package)


@functools.cache
def files() -> dict[str, pathlib.Path]:
    """What of this machine goes along: the tools, and the libraries of all programs where those look for them."""
    found = {name: pathlib.Path(name).resolve() for name in TOOLS}
    for program in [PROGRAM, *(file for file in found.values() if file.suffix != ".conf")]:
        for line in debian.run(["ldd", program]).splitlines():
            if word := re.search(r"(/\S+) \(0x", line):
                found[word[1]] = pathlib.Path(word[1]).resolve()
    return found


def initramfs(out: pathlib.Path, payload: dict[str, bytes]) -> None:
    if not PROGRAM.exists():
        raise debian.Error(f"{PROGRAM} is missing: ninja -C build/release crash_lab crash_check, or ./dev test crash, which does")
    found = kernel().by_name()
    with tempfile.TemporaryDirectory(dir=out.parent) as folder, open(out, "wb") as opened:
        work = pathlib.Path(folder)
        writer = cpio.Writer(opened, 0)
        for name in folders(["dev/x", "proc/x", "sys/x", "run/x", "tmp/x", "modules/x", *(f"payload/{name}" for name in payload), *(name[1:] for name in files())]):
            writer.directory(name)
        # Those that this kernel has built in are not there to be loaded.
        order = [name for name in MODULES if name in found]
        for name in order:
            writer.file(f"modules/{name}", kernel().tree / found[name])
        subprocess.run(["strip", "-o", work / "init", PROGRAM], check=True)
        writer.file("init", work / "init", 0o755)
        for name, source in files().items():
            writer.file(name[1:], source, 0o755)
        for name, data in payload.items():
            (work / "file").write_bytes(data)
            writer.file(f"payload/{name}", work / "file")
        (work / "order").write_text("".join(name + "\n" for name in order))
        writer.file("modules/order", work / "order")
        writer.close()


def folders(names: list[str]) -> list[str]:
    """All folders that these files lie in, outer ones first."""
    return sorted({str(folder) for name in names for folder in pathlib.PurePath(name).parents if str(folder) != "."})


def record(folder: pathlib.Path, scenario: str, disk: pathlib.Path, payload: dict[str, bytes], log: pathlib.Path,
           flash: pathlib.Path | None = None, flash_log: pathlib.Path | None = None) -> float:
    """Runs `scenario` on `disk`, which it changes, and writes `log`. Returns the seconds it took. With `flash`, a machine's
    variables, the kernel is started by OVMF, and what is written into the flash goes into `flash_log`."""
    began = time.monotonic()
    archive, serial = folder / "initramfs.cpio", folder / "serial.log"
    initramfs(archive, payload)
    serial.unlink(missing_ok=True)
    found = qemu.find()
    command = [*found.command, *(firmware.recorded_flash(found, flash, flash_log) if flash else ["-machine", "q35,sata=off"]),
               "-accel", qemu.accelerator(), "-cpu", qemu.processor(qemu.accelerator()), "-m", "512", "-display", "none",
               "-nodefaults", "-net", "none", "-no-reboot", "-serial", f"file:{serial}", "-kernel", kernel().image, "-initrd", archive,
               "-append", f"console=ttyS0 quiet panic=1 cryptomgr.notests no_timer_check lab={scenario}", *firmware.drive(disk, log, first=flash is None)]
    try:
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        raise debian.Error(f"{scenario}: the lab machine did not end within {MOST_SECONDS} s; see {serial}") from None
    said = serial.read_text(errors="replace") if serial.exists() else ""
    if f"LAB DONE {scenario}" not in said:
        raise debian.Error(f"{scenario}: {said[-600:].strip() or done.stderr.strip()}")
    return time.monotonic() - began


def check(*words) -> list[str]:
    """crash_check's answer, by lines."""
    done = subprocess.run([str(word) for word in (CHECK, *words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise debian.Error(f"crash_check {words[0]}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout.splitlines()
