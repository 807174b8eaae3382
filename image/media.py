"""What a medium is besides `qemu -kernel`: an ISO, a qcow2 disk, a folder for a PXE server. All plain files, made without root."""

import os
import pathlib

import debian
import disk

MIB = 1 << 20
ISO_ESP_ID = "57E1E002"


def iso(out: pathlib.Path, program: pathlib.Path, version: str, epoch: int, work: pathlib.Path) -> None:
    """Boots through UEFI from a CD (El Torito) and, written to a USB stick, as a GPT disk: both name one ESP image."""
    work.mkdir()
    esp, scratch = work / "esp.img", out.with_suffix(".new")
    # A sixteenth is for the FAT itself; whole MiB keep the partition aligned.
    size = -(-(program.stat().st_size * 17 // 16 + 2 * MIB) // MIB)
    with open(esp, "wb") as opened:
        opened.truncate(size * MIB)
    disk.run(["mkfs.vfat", "--invariant", "-F", "32", "-s", "1", "-i", ISO_ESP_ID, "-n", "STELE", esp], epoch)
    disk.run(["mmd", "-i", esp, "::EFI", "::EFI/BOOT"], epoch)
    disk.run(["mcopy", "-i", esp, program, "::EFI/BOOT/BOOTX64.EFI"], epoch)
    content = work / "content"
    content.mkdir()
    (content / "README.TXT").write_text(f"Stele {version}. Boots through UEFI and runs from memory: osctl install --disk ... puts it onto a disk.\n")
    for path in (content / "README.TXT", content):
        os.utime(path, (epoch, epoch))
    disk.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", scratch, "-V", "STELE", "-iso-level", "3", "-r", "-partition_offset", "16",
              "-append_partition", "2", disk.TYPE_ESP, esp, "-appended_part_as_gpt",
              "-e", "--interval:appended_partition_2:all::", "-no-emul-boot", content], epoch)
    esp.unlink()
    scratch.rename(out)


def qcow2(out: pathlib.Path, raw: pathlib.Path) -> None:
    scratch = out.with_suffix(".new")
    # Not compressed: what is large in it is already.
    debian.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, scratch])
    scratch.rename(out)


def pxe(folder: pathlib.Path, built: pathlib.Path) -> None:
    """Everything a TFTP or HTTP server hands out: one EFI program, or kernel and initramfs for iPXE."""
    folder.mkdir()
    for name in ("stele-medium.efi", "vmlinuz", "initramfs.cpio"):
        (folder / name).hardlink_to(built / name)
    (folder / "boot.ipxe").write_text(f"#!ipxe\nkernel vmlinuz initrd=initramfs.cpio {(built / 'cmdline').read_text()}\n"
                                      "initrd initramfs.cpio\nboot\n")
