"""The images that the lab boots: as small as wanted, yet loaded by the real firmware and the real systemd-boot.

An image is a PE file with what systemd-boot asks of a UKI (an `.osrel` section) around image_program.c, padded with
bytes of its own. The program adds the padding up before it says its name, so a torn one that runs is told apart.
"""

import functools
import pathlib
import random
import struct
import tempfile

import debian
import uki

HERE = pathlib.Path(__file__).resolve().parent
SECTION = 0x1000
FACTS = "<QQQQQ24s"
READ_ONLY = uki.DATA_READ_ONLY
OS_RELEASE = b"NAME=Stele\nID=stele\nPRETTY_NAME=Stele\n"  # no version: the file's name alone orders (docs/upgrade.md)


@functools.cache
def code() -> bytes:
    """image_program.c as a flat binary whose facts come one section later."""
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder)
        script = made / "script"
        script.write_text("SECTIONS { . = 0; .text : { *(.text.entry) *(.text*) *(.rodata*) }\n"
                          f"facts = {SECTION}; /DISCARD/ : {{ *(*) }} }}\n")
        debian.run(["cc", "-c", "-Os", "-ffreestanding", "-fpie", "-mno-red-zone", "-mno-sse", "-fno-stack-protector", "-fcf-protection=none",
                    "-fno-asynchronous-unwind-tables", "-o", made / "program.o", HERE / "image_program.c"])
        debian.run(["ld", "-nostdlib", "--oformat", "binary", "-T", script, "-o", made / "program", made / "program.o"])
        found = (made / "program").read_bytes()
    if not 0 < len(found) <= SECTION:
        raise debian.Error(f"image_program.c became {len(found)} bytes")
    return found.ljust(SECTION, b"\0")


def build(name: str, size: int, root: str = f"stele.root={'00' * 32}:1:00", reset: bool = False) -> bytes:
    """An image of about `size` bytes that calls itself `name` and whose command line names a root."""
    padding = random.Random(name).randbytes(-(-size // SECTION) * SECTION)
    total = 0
    for word, in struct.iter_unpack("<Q", padding):
        total = (total * 31 + word) & (1 << 64) - 1
    # The sections lie in memory as they are listed: facts, .linux, then the padding, which is what an initrd would be.
    facts = struct.pack(FACTS, 0x4C4142, 2 * SECTION, len(padding), total, int(reset), name.encode())
    command_line = f"{root} lab={name}"
    return _pe([(".text", code(), 0x60000020), (".data", facts.ljust(SECTION, b"\0"), 0xC0000040), (".linux", b"kernel".ljust(SECTION, b"\0"), READ_ONLY),
                (".initrd", padding, READ_ONLY), (".osrel", OS_RELEASE, READ_ONLY), (".cmdline", command_line.encode(), READ_ONLY)])


def _pe(sections: list[tuple[str, bytes, int]]) -> bytes:
    """A PE32+ EFI application whose entry is the first section's first byte."""
    headers = 0x1000
    address, table, body = headers, b"", b""
    for name, data, flags in sections:
        raw = uki.align(len(data), 512)
        table += struct.pack(uki.SECTION_HEADER, name.encode(), len(data), address, raw, headers + len(body), 0, 0, 0, 0, flags)
        body += data.ljust(raw, b"\0")
        address = uki.align(address + len(data), SECTION)
    optional = struct.pack("<HBBIIIII", 0x20B, 0, 0, SECTION, len(body) - SECTION, 0, headers, headers)
    optional += struct.pack("<QIIHHHHHHIIIIHHQQQQII", 0, SECTION, 512, 0, 0, 1, 0, 0, 0, 0, address, headers, 0, 10, 0, 0, 0, 0, 0, 0, 0)
    coff = struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, len(optional), 0x0022)
    start = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    return (start + b"PE\0\0" + coff + optional + table).ljust(headers, b"\0") + body
