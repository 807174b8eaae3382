"""Size: what the programs and the image weigh on disk, and what they hold."""

import pathlib
import subprocess
import tempfile

from run import TOP, Missing

BIN = TOP / "build" / "release" / "bin"
IMAGE = TOP / "build" / "image"


def stripped(path):
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["strip", "-o", out.name, path], check=True)
        return pathlib.Path(out.name).stat().st_size


def run(bench):
    if not (BIN / "init").exists():
        raise Missing("build/release/bin/init: run ./dev build first")
    for name, reach in (("init", "≤ 2"), ("machined", None), ("apid", None), ("osctl", None), ("applets", None)):
        bench.row(f"{name} on disk", stripped(BIN / name) / 1e6, "MB", reach=reach, note="stripped")
    if not (IMAGE / "stele.img").exists():
        raise Missing("build/image/stele.img: run ./dev image for the image's figures")
    bench.row("UKI on the ESP", (IMAGE / "stele.efi").stat().st_size / 1e6, "MB")
    bench.row("upgrade file (stele.img, kubelet included)", (IMAGE / "stele.img").stat().st_size / 1e6, "MB", reach="≤ 85")
    executables = [line for line in (IMAGE / "executables.txt").read_text().splitlines() if line and not line.startswith("#")]
    bench.row("executables in the image", len(executables), "files", reach="≤ 25, all listed")
