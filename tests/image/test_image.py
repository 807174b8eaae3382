"""The image itself: two builds are the same bytes, what is forbidden stops the whole build, and the reports are true."""

import hashlib
import json
import pathlib
import re
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
IMAGE = TOP / "build/image"
BIN = TOP / "build/release/bin"
COMPARED = ["root.squashfs", "vmlinuz", "initramfs.cpio", "cmdline", "stele.efi", "stele.raw", "demo.tar", "sbom.spdx.json",
            "executables.txt", "packages.lock"]
MOST_EXECUTABLES = 25

pytestmark = pytest.mark.timeout(600)


def build(out, *options):
    return subprocess.run([sys.executable, TOP / "image/build_image.py", "--fast", "--out", out, *options],
                          capture_output=True, text=True)


def digest(file):
    found = hashlib.sha256()
    with open(file, "rb") as opened:
        while block := opened.read(1 << 20):
            found.update(block)
    return found.hexdigest()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("first")
    done = build(out)
    assert done.returncode == 0, done.stderr
    return out


def test_two_builds_are_the_same_bytes(built, tmp_path):
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    different = [name for name in COMPARED if digest(built / name) != digest(tmp_path / name)]
    assert different == []


def test_a_listed_shell_stops_the_build(tmp_path):
    (tmp_path / "extra.list").write_text("exec /usr/bin/sh dash:/usr/bin/dash\n")
    done = build(tmp_path / "out", "--list", tmp_path / "extra.list")
    assert done.returncode == 1 and "/usr/bin/sh: a shell" in done.stderr, done.stderr
    assert not (tmp_path / "out/stele.efi").exists()


def test_a_listed_setuid_program_stops_the_build(tmp_path):
    (tmp_path / "extra.list").write_text("exec /usr/bin/su util-linux:/usr/bin/su\n")
    done = build(tmp_path / "out", "--list", tmp_path / "extra.list")
    assert done.returncode == 1 and "setuid" in done.stderr, done.stderr
    assert not (tmp_path / "out/stele.efi").exists()


def test_an_executable_listed_as_data_stops_the_build(tmp_path):
    (tmp_path / "extra.list").write_text("file /usr/share/ctr containerd:/usr/bin/ctr\n")
    done = build(tmp_path / "out", "--list", tmp_path / "extra.list")
    assert done.returncode == 1 and "/usr/share/ctr: an executable that is not listed as one" in done.stderr, done.stderr
    assert not (tmp_path / "out/stele.efi").exists()


def test_every_executable_of_the_packed_root_is_reported(built):
    """Asks the packed root, not our own lists."""
    listing = subprocess.run(["unsquashfs", "-lln", built / "root.squashfs"], capture_output=True, text=True, check=True).stdout
    packed = set()
    for line in listing.splitlines():
        found = re.match(r"(\S{10}) (\d+)/(\d+) +\S+ \S+ \S+ squashfs-root(\S*)", line)
        if not found:
            continue
        mode, owner, group, path = found.groups()
        assert (owner, group) == ("0", "0"), line
        assert "s" not in mode[1:].lower(), line
        if mode[0] == "-" and "x" in mode:
            packed.add(path)
    reported = {line.split()[1] for line in (built / "executables.txt").read_text().splitlines() if not line.startswith("#")}
    assert packed == reported
    assert 0 < len(reported) <= MOST_EXECUTABLES


def test_the_sbom_names_every_file_and_package(built):
    sbom = json.loads((built / "sbom.spdx.json").read_text())
    assert sbom["spdxVersion"] == "SPDX-2.3"
    on_disk = {"." + "/" + str(f.relative_to(built / "root")) for f in (built / "root").rglob("*") if f.is_file() and not f.is_symlink()}
    assert {entry["fileName"] for entry in sbom["files"]} == on_disk
    known = {entry["SPDXID"] for entry in sbom["files"] + sbom["packages"]} | {"SPDXRef-DOCUMENT"}
    for relation in sbom["relationships"]:
        assert relation["spdxElementId"] in known and relation["relatedSpdxElement"] in known
    names = {package["name"] for package in sbom["packages"]}
    assert {"stele", "kubelet", "containerd", "runc", "libc6", "libgrpc++-dev"} <= {n.lower() for n in names}
    some = sbom["files"][len(sbom["files"]) // 2]
    checksums = {c["algorithm"]: c["checksumValue"] for c in some["checksums"]}
    assert checksums["SHA256"] == digest(built / "root" / some["fileName"][2:])


def test_modules_keep_their_signatures_and_are_not_compressed(built):
    found = sorted((built / "root/usr/lib/modules").rglob("*.ko*"))
    assert len(found) > 100
    for file in found:
        assert file.suffix == ".ko"
        assert file.read_bytes().endswith(b"~Module signature appended~\n"), file


def test_every_module_that_init_loads_is_there(built):
    present = {file.stem.replace("-", "_") for file in (built / "root/usr/lib/modules").rglob("*.ko")}
    wanted = (built / "root/usr/share/stele/modules").read_text().split()
    assert wanted
    assert [name for name in wanted if name.replace("-", "_") not in present] == []


def test_the_disk_holds_what_the_loader_looks_for(built):
    table = subprocess.run(["/sbin/sfdisk", "--json", built / "stele.raw"], capture_output=True, text=True, check=True).stdout
    partitions = {p["name"]: p for p in json.loads(table)["partitiontable"]["partitions"]}
    assert list(partitions) == ["ESP", "STELE-STATE", "STELE-DATA"]
    at = partitions["ESP"]["start"] * 512
    listing = subprocess.run(["mdir", "-/", "-b", "-i", f"{built / 'stele.raw'}@@{at}", "::"], capture_output=True, text=True, check=True)
    version = (TOP / "VERSION").read_text().strip()
    assert {"::/EFI/BOOT/BOOTX64.EFI", f"::/EFI/Linux/stele_{version}.efi", "::/loader/loader.conf"} <= set(listing.stdout.split())
    for name in ("STELE-STATE", "STELE-DATA"):
        offset, size = partitions[name]["start"] * 512, partitions[name]["size"] * 512
        label = subprocess.run(["/sbin/blkid", "-p", "-O", str(offset), "-S", str(size), "-o", "value", "-s", "LABEL", built / "stele.raw"],
                               capture_output=True, text=True)
        assert label.stdout.strip() == name


def test_the_uki_holds_the_same_kernel_and_initramfs(built, tmp_path):
    for section, name in ((".linux", "vmlinuz"), (".initrd", "initramfs.cpio"), (".cmdline", "cmdline")):
        out = tmp_path / name
        subprocess.run(["objcopy", "-O", "binary", f"--dump-section={section}={out}", built / "stele.efi", tmp_path / "ignored"],
                       check=True, capture_output=True)
        content, wanted = out.read_bytes(), (built / name).read_bytes()
        assert content[:len(wanted)] == wanted and set(content[len(wanted):]) <= {0}
