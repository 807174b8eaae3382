"""The little of ELF that the image build asks: what a file links, where it looks, and whether it can be executed."""

import dataclasses
import pathlib
import struct

PT_DYNAMIC, PT_INTERP, PT_LOAD = 2, 3, 1
DT_NULL, DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH, DT_FLAGS_1 = 0, 1, 5, 14, 15, 29, 0x6FFFFFFB
DF_1_PIE = 0x08000000
ET_EXEC, ET_DYN = 2, 3


@dataclasses.dataclass
class Elf:
    needed: list[str]
    soname: str | None
    runpath: list[str]
    interpreter: str | None
    executable: bool  # a program, as opposed to a library, a kernel module or an object file


def read(path: pathlib.Path) -> Elf | None:
    """None when the file is not ELF."""
    data = path.read_bytes()
    if data[:4] != b"\x7fELF" or data[4] != 2:
        return None
    kind, = struct.unpack_from("<H", data, 16)
    phoff, = struct.unpack_from("<Q", data, 32)
    phentsize, phnum = struct.unpack_from("<HH", data, 54)
    segments = []
    for index in range(phnum):
        p_type, _, offset, vaddr, _, filesz, _, _ = struct.unpack_from("<IIQQQQQQ", data, phoff + index * phentsize)
        segments.append((p_type, offset, vaddr, filesz))

    def file_offset(vaddr: int) -> int:
        for p_type, offset, start, size in segments:
            if p_type == PT_LOAD and start <= vaddr < start + size:
                return offset + vaddr - start
        raise ValueError(f"{path}: address {vaddr:#x} is in no segment")

    def string(offset: int) -> str:
        return data[offset:data.index(b"\0", offset)].decode()

    tags: list[tuple[int, int]] = []
    interpreter = None
    for p_type, offset, _, size in segments:
        if p_type == PT_INTERP:
            interpreter = string(offset)
        if p_type == PT_DYNAMIC:
            for at in range(offset, offset + size, 16):
                tag, value = struct.unpack_from("<qQ", data, at)
                if tag == DT_NULL:
                    break
                tags.append((tag, value))
    strings = next((file_offset(value) for tag, value in tags if tag == DT_STRTAB), 0)
    named = {tag: [string(strings + value) for t, value in tags if t == tag] for tag in
             (DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH)}
    pie = any(tag == DT_FLAGS_1 and value & DF_1_PIE for tag, value in tags)
    soname = next(iter(named[DT_SONAME]), None)
    return Elf(
        needed=named[DT_NEEDED],
        soname=soname,
        runpath=[part for value in named[DT_RPATH] + named[DT_RUNPATH] for part in value.split(":")],
        interpreter=interpreter,
        executable=kind == ET_EXEC or pie or (kind == ET_DYN and interpreter is not None and soname is None),
    )
