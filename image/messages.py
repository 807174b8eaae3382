"""The image file's protobuf messages (proto/stele/image/v1/image_file.proto), generated below build/ when they are asked for."""

import functools
import hashlib
import importlib.util
import pathlib
import types

import cache
import debian

TOP = pathlib.Path(__file__).resolve().parent.parent
PROTO = "stele/image/v1/image_file.proto"


@functools.cache
def load() -> types.ModuleType:
    """protoc's module: SignedManifest, Signature, Manifest, Verity, Part and the PART_KIND_ constants."""
    key = hashlib.sha256((TOP / "proto" / PROTO).read_bytes()).hexdigest()[:12]
    folder = TOP / "build/image-messages" / key
    if not folder.is_dir():
        with cache.new_directory(folder) as scratch:
            debian.run(["protoc", "-I", TOP / "proto", f"--python_out={scratch}", PROTO])
    found = importlib.util.spec_from_file_location("stele_image_file_pb2", folder / PROTO.replace(".proto", "_pb2.py"))
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
