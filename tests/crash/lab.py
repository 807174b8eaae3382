"""The lab machine: a kernel, crash_lab as init and the few modules it takes, on a disk whose writes are recorded."""

import functools
import pathlib
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
MODULES = ["virtio_blk", "nls_cp437", "nls_ascii", "fat", "vfat"]
MOST_SECONDS = 120


@functools.cache
def kernel() -> modules.Kernel:
    trixie = debian.trixie()
    name = trixie.real_package(build_image.KERNEL_METAPACKAGE, False)
    package = trixie.fetch([name])[name]
    return build_image.unpacked_kernel(trixie.unpack(package), package)


def initramfs(out: pathlib.Path, payload: dict[str, bytes]) -> None:
    if not PROGRAM.exists():
        raise debian.Error(f"{PROGRAM} is missing: ninja -C build/release crash_lab, or ./dev test crash, which does")
    found = kernel().by_name()
    with tempfile.TemporaryDirectory(dir=out.parent) as folder, open(out, "wb") as opened:
        work = pathlib.Path(folder)
        writer = cpio.Writer(opened, 0)
        for name in ("dev", "proc", "sys", "modules", "payload"):
            writer.directory(name)
        # Those that this kernel has built in are not there to be loaded.
        order = [name for name in MODULES if name in found]
        for name in order:
            writer.file(f"modules/{name}", kernel().tree / found[name])
        subprocess.run(["strip", "-o", work / "init", PROGRAM], check=True)
        writer.file("init", work / "init", 0o755)
        for name, data in payload.items():
            (work / "file").write_bytes(data)
            writer.file(f"payload/{name}", work / "file")
        (work / "order").write_text("".join(name + "\n" for name in order))
        writer.file("modules/order", work / "order")
        writer.close()


def record(folder: pathlib.Path, scenario: str, disk: pathlib.Path, payload: dict[str, bytes], log: pathlib.Path) -> float:
    """Runs `scenario` on `disk`, which it changes, and writes `log`. Returns the seconds it took."""
    began = time.monotonic()
    archive, serial = folder / "initramfs.cpio", folder / "serial.log"
    initramfs(archive, payload)
    serial.unlink(missing_ok=True)
    found = qemu.find()
    command = [*found.command, "-machine", "q35,sata=off", "-accel", qemu.accelerator(), "-cpu", "max", "-m", "512", "-display", "none",
               "-nodefaults", "-net", "none", "-no-reboot", "-serial", f"file:{serial}", "-kernel", kernel().image, "-initrd", archive,
               "-append", f"console=ttyS0 quiet panic=1 cryptomgr.notests no_timer_check lab={scenario}", *firmware.drive(disk, log)]
    try:
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        raise debian.Error(f"{scenario}: the lab machine did not end within {MOST_SECONDS} s; see {serial}") from None
    said = serial.read_text(errors="replace") if serial.exists() else ""
    if f"LAB DONE {scenario}" not in said:
        raise debian.Error(f"{scenario}: {said[-600:].strip() or done.stderr.strip()}")
    return time.monotonic() - began
