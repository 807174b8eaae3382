"""A unified kernel image: systemd's stub with the kernel, its command line and the initramfs as PE sections.

The stub finds sections by name in memory, so each gets an address of its own after the stub's last one, aligned as
the stub's header asks.
"""

import pathlib
import struct

SECTION_HEADER = "<8sIIIIIIHHI"
DATA_READ_ONLY = 0x40000040  # initialised data, readable


def build(stub: pathlib.Path, sections: list[tuple[str, bytes]]) -> bytes:
    image = bytearray(stub.read_bytes())
    pe, = struct.unpack_from("<I", image, 0x3C)
    if image[pe:pe + 4] != b"PE\0\0":
        raise ValueError(f"{stub}: not a PE file")
    count, = struct.unpack_from("<H", image, pe + 6)
    optional_size, = struct.unpack_from("<H", image, pe + 20)
    optional = pe + 24
    section_alignment, file_alignment = struct.unpack_from("<II", image, optional + 32)
    headers_size, = struct.unpack_from("<I", image, optional + 60)
    table = optional + optional_size
    free = table + count * 40
    if free + len(sections) * 40 > headers_size:
        raise ValueError(f"{stub}: no room for {len(sections)} more section headers")

    last = max((struct.unpack_from(SECTION_HEADER, image, table + i * 40) for i in range(count)), key=lambda s: s[2])
    address = align(last[2] + last[1], section_alignment)
    image += b"\0" * (align(len(image), file_alignment) - len(image))
    for name, data in sections:
        raw = align(len(data), file_alignment)
        struct.pack_into(SECTION_HEADER, image, free, name.encode(), len(data), address, raw, len(image), 0, 0, 0, 0,
                         DATA_READ_ONLY)
        image += data + b"\0" * (raw - len(data))
        address = align(address + len(data), section_alignment)
        free += 40
    struct.pack_into("<H", image, pe + 6, count + len(sections))
    struct.pack_into("<I", image, optional + 56, address)  # SizeOfImage
    struct.pack_into("<I", image, optional + 64, 0)  # the checksum no longer fits; firmware ignores 0
    return bytes(image)


def align(value: int, to: int) -> int:
    return -(-value // to) * to
