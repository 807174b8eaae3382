"""A container image of one static program or of a tree, as an OCI archive that `osctl image import` and `ctr image import` take.

Every byte follows from what goes in: fixed times, root's ids, sorted JSON, one uncompressed layer.
"""

import hashlib
import io
import json
import pathlib
import tarfile

LAYER = "application/vnd.oci.image.layer.v1.tar"


def write(out: pathlib.Path, reference: str, program: pathlib.Path, user: str) -> None:
    layer = tar([(program.name, program.read_bytes(), 0o755)])
    write_layer(out, reference, layer, {"Entrypoint": [f"/{program.name}"], "User": user})


def write_tree(out: pathlib.Path, reference: str, tree: pathlib.Path, entrypoint: list[str]) -> None:
    """The files below `tree`, all of them root's."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(tree, arcname=".", filter=of_root)
    write_layer(out, reference, layer.getvalue(), {"Entrypoint": entrypoint, "User": "0:0"})


def of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime = 0, 0, "", "", 0
    return entry


def write_layer(out: pathlib.Path, reference: str, layer: bytes, settings: dict) -> None:
    config = encode({
        "architecture": "amd64", "os": "linux", "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
    })
    manifest = encode({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [descriptor(LAYER, layer)],
    })
    index = encode({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [descriptor("application/vnd.oci.image.manifest.v1+json", manifest) | {
            "annotations": {"io.containerd.image.name": reference,
                            "org.opencontainers.image.ref.name": reference.rpartition(":")[2]}}],
    })
    blobs = [(f"blobs/sha256/{digest(data)[7:]}", data, 0o644) for data in (layer, config, manifest)]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(tar([("oci-layout", encode({"imageLayoutVersion": "1.0.0"}), 0o644), ("index.json", index, 0o644), *blobs]))


def descriptor(media_type: str, data: bytes) -> dict:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def encode(value: dict) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def tar(files: list[tuple[str, bytes, int]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data, mode in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(data), mode, 0
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()
