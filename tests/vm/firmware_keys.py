"""The firmware's key database (db), written into OVMF's variables while the machine is off: what an owner who enrols the
kernel's signer has. Without a PK the firmware itself checks nothing; the kernel reads db all the same."""

import pathlib
import struct
import subprocess
import uuid

AUTHENTICATED_STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
IMAGE_SECURITY_DATABASE = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f").bytes_le
CERT_X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
OWNER = uuid.UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b").bytes_le
ATTRIBUTES = 0x27  # kept, for boot services, for the OS, changed only with a time-based signature


def signer_of(kernel: pathlib.Path) -> bytes:
    """The certificate, DER, of who signed a PE file."""
    data = kernel.read_bytes()
    pe, = struct.unpack_from("<I", data, 0x3C)
    offset, size = struct.unpack_from("<II", data, pe + 24 + 112 + 4 * 8)  # the certificate table
    assert size > 8, f"{kernel} is not signed"
    pkcs7 = data[offset + 8:offset + size]
    pem = subprocess.run(["openssl", "pkcs7", "-inform", "DER", "-print_certs"], input=pkcs7, capture_output=True, check=True).stdout
    return subprocess.run(["openssl", "x509", "-outform", "DER"], input=pem, capture_output=True, check=True).stdout


def enrol(template: pathlib.Path, target: pathlib.Path, certificate: bytes) -> None:
    """A copy of empty OVMF variables with `certificate` in db."""
    data = bytearray(template.read_bytes())
    store, = struct.unpack_from("<H", data, 48)  # behind the firmware volume's header
    assert data[40:44] == b"_FVH" and data[store:store + 16] == AUTHENTICATED_STORE, f"{template}: not OVMF's variables"
    at = store + 28
    assert data[at:at + 2] == b"\xff\xff", f"{template}: not empty"
    signatures = CERT_X509 + struct.pack("<III", 28 + 16 + len(certificate), 0, 16 + len(certificate)) + OWNER + certificate
    name = "db\0".encode("utf-16-le")
    header = struct.pack("<HBBIQ16sIII", 0x55AA, 0x3F, 0, ATTRIBUTES, 0, bytes(16), 0, len(name), len(signatures))
    variable = header + IMAGE_SECURITY_DATABASE + name + signatures
    data[at:at + len(variable)] = variable
    target.write_bytes(data)
