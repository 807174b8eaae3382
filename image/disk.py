"""A bootable GPT disk made with plain files: no root, no loop devices, no mounts.

    ESP          vfat   512 MiB   systemd-boot and the UKI
    STELE-STATE  ext4   256 MiB   config generations
    STELE-DATA   ext4   the rest  /var

Identifiers, times and hash seeds are fixed, so the same inputs give the same bytes. The file is sparse.
"""

import os
import pathlib

import debian

MIB = 1 << 20
SECTOR = 512
ESP_START, ESP_SIZE = 1 * MIB, 512 * MIB
STATE_START, STATE_SIZE = ESP_START + ESP_SIZE, 256 * MIB
DATA_START = STATE_START + STATE_SIZE

TYPE_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
TYPE_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
TYPE_VAR = "4D21B016-B534-45C2-A9FB-5C16E091FD2D"

DISK_ID = "57E1E000-0000-4000-8000-000000000000"
ESP_ID = "57E1E000-0000-4000-8000-000000000001"
STATE_ID = "57E1E000-0000-4000-8000-000000000002"
DATA_ID = "57E1E000-0000-4000-8000-000000000003"
ESP_VOLUME_ID = "57E1E001"


def build(out: pathlib.Path, size: int, loader: pathlib.Path, uki: pathlib.Path, uki_name: str, loader_conf: str,
          epoch: int, work: pathlib.Path) -> None:
    scratch = out.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    with open(scratch, "wb") as image:
        image.truncate(size)
    table = [
        f"label: gpt\nlabel-id: {DISK_ID}\nfirst-lba: 2048",
        row(ESP_START, ESP_SIZE, TYPE_ESP, ESP_ID, "ESP"),
        row(STATE_START, STATE_SIZE, TYPE_LINUX, STATE_ID, "STELE-STATE"),
        row(DATA_START, size - DATA_START - MIB, TYPE_VAR, DATA_ID, "STELE-DATA"),
    ]
    (work / "table").write_text("\n".join(table) + "\n")
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", scratch], epoch, stdin=work / "table")
    _esp(scratch, loader, uki, uki_name, loader_conf, epoch, work)
    _ext4(scratch, STATE_START, STATE_SIZE, STATE_ID, "STELE-STATE", epoch)
    _ext4(scratch, DATA_START, size - DATA_START - MIB, DATA_ID, "STELE-DATA", epoch)
    scratch.rename(out)


def row(start: int, size: int, kind: str, uuid: str, name: str) -> str:
    return f"start={start // SECTOR}, size={size // SECTOR}, type={kind}, uuid={uuid}, name={name}"


def _esp(image: pathlib.Path, loader: pathlib.Path, uki: pathlib.Path, uki_name: str, loader_conf: str, epoch: int,
         work: pathlib.Path) -> None:
    run(["mkfs.vfat", "--invariant", "-F", "32", "-i", ESP_VOLUME_ID, "-n", "ESP", "-S", str(SECTOR),
         "--offset", str(ESP_START // SECTOR), image, str(ESP_SIZE // 1024)], epoch)
    conf = work / "loader.conf"
    conf.write_text(loader_conf)
    at = f"{image}@@{ESP_START}"
    run(["mmd", "-i", at, "::EFI", "::EFI/BOOT", "::EFI/systemd", "::EFI/Linux", "::loader"], epoch)
    for source, target in ((loader, "EFI/BOOT/BOOTX64.EFI"), (loader, "EFI/systemd/systemd-bootx64.efi"),
                           (conf, "loader/loader.conf"), (uki, f"EFI/Linux/{uki_name}")):
        run(["mcopy", "-i", at, source, f"::{target}"], epoch)


def _ext4(image: pathlib.Path, start: int, size: int, uuid: str, label: str, epoch: int) -> None:
    # The hash seed and the creation time are the two things mke2fs would otherwise make up.
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-U", uuid, "-b", "4096", "-m", "0",
         "-E", f"offset={start},hash_seed={uuid},lazy_itable_init=1,lazy_journal_init=1,nodiscard", image, f"{size // 1024}k"], epoch)


def run(command: list, epoch: int, stdin: pathlib.Path | None = None) -> None:
    # mtools and mke2fs read the clock through SOURCE_DATE_EPOCH; /sbin is not on everybody's PATH.
    env = os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "E2FSPROGS_FAKE_TIME": str(epoch), "TZ": "UTC", "LC_ALL": "C",
                        "MTOOLS_SKIP_CHECK": "1", "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    debian.run(command, env=env, stdin=stdin)
