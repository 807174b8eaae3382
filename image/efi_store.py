"""OVMF's store of variables as a file: what a machine's firmware remembers before its first power-on.

The store is EDK2's authenticated one (MdeModulePkg/Include/Guid/VariableFormat.h): a header, then variables one after the
other, each on a multiple of four bytes; the free rest is 0xFF.
"""

import struct
import uuid

import debian

GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
NON_VOLATILE = 7  # and readable at boot and at run time
STORE_AT = 0x48  # in OVMF_VARS: behind the firmware volume's header
STORE_HEADER = 28
VARIABLE_HEADER = "<HBBIQ16sIII16s"
ADDED, REPLACED = 0x3F, 0xFE  # of a variable's state, whose bits are cleared one after the other
FILLER = uuid.UUID("5354454c-4520-4649-4c4c-455220202020")
LARGEST = 0x1000  # of a filler; OVMF takes variables of up to 0x2000


def with_variables(template: bytes, variables: dict[str, bytes], vendor: uuid.UUID = GLOBAL) -> bytes:
    """An empty store with these in it, in that order."""
    store, at = bytearray(template), STORE_AT + STORE_HEADER
    for name, data in variables.items():
        whole = _variable(name, data, vendor)
        if set(store[at:at + len(whole)]) != {0xFF}:
            raise debian.Error("OVMF's variables are not empty where the first ones go")
        store[at:at + len(whole)] = whole
        at += -(-len(whole) // 4) * 4
    return bytes(store)


def filled(template: bytes, leave: int) -> bytes:
    """An empty store with fillers that nobody asks for, and `leave` bytes of room or a little less."""
    size, = struct.unpack_from("<I", template, STORE_AT + 16)
    left, fillers = size - STORE_HEADER - leave, {}
    while left > 256:
        name = f"Filler{len(fillers):04}"
        taken = len(_variable(name, b"", FILLER))
        fillers[name] = b"\x5a" * (min(left - taken, LARGEST) // 4 * 4)
        left -= -(-(taken + len(fillers[name])) // 4) * 4
    return with_variables(template, fillers, FILLER)


def read(store: bytes, vendor: uuid.UUID = GLOBAL) -> dict[str, bytes]:
    """As edk2's variable driver finds them: of a name that is there twice the one that was added counts before the one that is
    about to be replaced; one that was begun and never finished is not there."""
    found: dict[str, tuple[int, bytes]] = {}
    at, size = STORE_AT + STORE_HEADER, struct.calcsize(VARIABLE_HEADER)
    while at + size <= len(store):
        begin, state, _, _, _, _, _, name_size, data_size, owner = struct.unpack_from(VARIABLE_HEADER, store, at)
        if begin != 0x55AA:
            break
        if state == 0xFF or 0xFFFFFFFF in (name_size, data_size):
            name_size = data_size = 0  # a header that was not finished
        at += size
        name, data = store[at:at + name_size], store[at + name_size:at + name_size + data_size]
        at = -(-(at + name_size + data_size) // 4) * 4
        if state in (ADDED, ADDED & REPLACED) and owner == vendor.bytes_le:
            text = name.decode("utf-16-le", "replace").rstrip("\0")
            found[text] = max(found.get(text, (0, b"")), (state, data), key=lambda pair: pair[0])
    return {name: data for name, (_, data) in found.items()}


def _variable(name: str, data: bytes, vendor: uuid.UUID) -> bytes:
    encoded = name.encode("utf-16-le") + b"\0\0"
    header = struct.pack(VARIABLE_HEADER, 0x55AA, ADDED, 0, NON_VOLATILE, 0, b"\0" * 16, 0, len(encoded), len(data), vendor.bytes_le)
    return header + encoded + data
