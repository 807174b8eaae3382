"""QEMU 10 or newer, its firmware, and whether this machine can do better than TCG.

Kernel 6.12 crashes in most boots under the TCG of Debian 12's QEMU 7.2, so an old host QEMU is never used: 10 comes from
bookworm-backports, unpacked into the cache beside whatever is installed.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

import cache
import debian

OLDEST = 10
PACKAGES = ["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"]


@dataclasses.dataclass(frozen=True)
class Qemu:
    command: list[str]  # the program and where its data is
    ovmf_code: pathlib.Path
    ovmf_vars: pathlib.Path  # a template: each machine gets its own copy


def find() -> Qemu:
    trixie = debian.trixie()
    firmware = trixie.unpack(trixie.fetch(["ovmf"])["ovmf"]) / "usr/share/OVMF"
    return Qemu(_command(), firmware / "OVMF_CODE_4M.fd", firmware / "OVMF_VARS_4M.fd")


def _command() -> list[str]:
    host = shutil.which("qemu-system-x86_64")
    if host and _major(host) >= OLDEST:
        return [host]
    backports = debian.bookworm_backports()
    packages = backports.fetch(PACKAGES)
    final = cache.root() / "qemu" / packages["qemu-system-x86"].version.replace(":", "%3a")
    with cache.locked("qemu"):
        if not final.is_dir():
            with cache.new_directory(final) as scratch:
                for package in packages.values():
                    debian.run(["dpkg-deb", "-x", backports.deb(package), scratch])
    program = str(final / "usr/bin/qemu-system-x86_64")
    _major(program)
    return [program, "-L", str(final / "usr/share/qemu"), "-L", str(final / "usr/share/seabios")]


def _major(program: str) -> int:
    done = subprocess.run([program, "--version"], capture_output=True, text=True)
    found = re.search(r"version (\d+)", done.stdout)
    if not found:
        raise debian.Error(f"{program} --version: {done.stderr.strip()}: ./dev installs the libraries that image/packages-host lists")
    return int(found[1])


def accelerator(wanted: str | None = None) -> str:
    """`wanted`, or kvm where the processor has it and /dev/kvm opens. A /dev/kvm without vmx or svm hangs guests."""
    if wanted:
        return wanted
    flags = re.search(r"^flags\s*:(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    if not flags or not {"vmx", "svm"} & set(flags[1].split()):
        return "tcg"
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return "tcg"
    return "kvm"


# TCG makes a call of each of these instructions, so code that picks them because the processor has them is slower there than the
# plain code it also has: SHA-256 by 6 times, ChaCha20 by 15, AES-GCM by 5 (tried with OpenSSL under QEMU 10.0).
SLOW_UNDER_TCG = ["ssse3", "sse4.1", "sse4.2", "avx", "avx2", "f16c", "fma", "aes", "pclmulqdq", "sha-ni", "vaes", "vpclmulqdq", "gfni",
                  # `rep movsb` and `rep stosb` go byte by byte; a kernel that is not told of fast ones copies eight at a time.
                  "erms", "fsrm", "fzrm", "fsrs"]


def processor(accelerator: str) -> str:
    """The guest's -cpu: all there is, save what TCG is slow at."""
    return "max" if accelerator == "kvm" else ",".join(["max", *(f"-{feature}" for feature in SLOW_UNDER_TCG)])
