"""The image itself: two builds are the same bytes, what is forbidden stops the whole build, and the reports are true."""

import hashlib
import json
import re
import subprocess

import pytest
from conftest import build, digest

COMPARED = ["stele.img", "stele.efi", "root.img", "root.squashfs", "vmlinuz", "initramfs.cpio", "cmdline", "stele-medium.efi", "stele.raw",
            "stele.iso", "stele.qcow2", "pxe/boot.ipxe", "demo.tar", "sbom.spdx.json", "executables.txt", "packages.lock"]
MOST_EXECUTABLES = 25

pytestmark = pytest.mark.timeout(600)


def test_two_builds_are_the_same_bytes(built, signed_options, tmp_path):
    done = build(tmp_path, *signed_options)
    assert done.returncode == 0, done.stderr
    different = [name for name in COMPARED if digest(built / name) != digest(tmp_path / name)]
    assert different == []


def test_a_listed_shell_stops_the_build(tmp_path):
    (tmp_path / "extra.list").write_text("exec /usr/bin/sh dash:/usr/bin/dash\n")
    done = build(tmp_path / "out", "--list", tmp_path / "extra.list")
    assert done.returncode == 1 and "/usr/bin/sh: a shell" in done.stderr, done.stderr
    assert not (tmp_path / "out/stele.img").exists()


def test_a_listed_setuid_program_stops_the_build(tmp_path):
    (tmp_path / "extra.list").write_text("exec /usr/bin/su util-linux:/usr/bin/su\n")
    done = build(tmp_path / "out", "--list", tmp_path / "extra.list")
    assert done.returncode == 1 and "setuid" in done.stderr, done.stderr
    assert not (tmp_path / "out/stele.img").exists()


def test_an_executable_listed_as_data_stops_the_build(tmp_path):
    (tmp_path / "extra.list").write_text("file /usr/share/ctr containerd:/usr/bin/ctr\n")
    done = build(tmp_path / "out", "--list", tmp_path / "extra.list")
    assert done.returncode == 1 and "/usr/share/ctr: an executable that is not listed as one" in done.stderr, done.stderr
    assert not (tmp_path / "out/stele.img").exists()


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
