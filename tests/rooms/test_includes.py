"""The picture of the rooms in README.md stays true: nobody includes what its arrow does not name."""

import pathlib
import re

SRC = pathlib.Path(__file__).resolve().parents[2] / "src"

# room: the rooms it may include, besides itself. "proto" is stele/**/*.pb.h.
MAY_INCLUDE = {
    "base": set(),
    "config": {"base", "proto"},
    "image_file": {"base", "proto"},
    "services": {"base", "proto"},
    "init": {"base"},
    "applets": {"base"},
    "machined": {"base", "config", "image_file", "services", "proto"},
    "apid": {"base", "proto"},
    "osctl": {"base", "config", "image_file", "proto"},
}
GRPC_FREE = {"base", "config", "image_file", "services", "init", "applets", "apid"}
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]', re.M)


def includes():
    for file in sorted(SRC.rglob("*")):
        if file.suffix in (".h", ".cc", ".c"):
            for path in INCLUDE.findall(file.read_text()):
                yield file.relative_to(SRC), path


def test_every_room_is_in_the_table():
    assert {p.name for p in SRC.iterdir() if p.is_dir()} == set(MAY_INCLUDE)


def test_rooms_include_only_what_the_table_allows():
    wrong = []
    for file, path in includes():
        room, target = file.parts[0], path.split("/")[0]
        target = {"stele": "proto"}.get(target, target)
        if target in set(MAY_INCLUDE) | {"proto"} and target != room and target not in MAY_INCLUDE[room]:
            wrong.append(f"{file} includes {path}: {room} may include {sorted(MAY_INCLUDE[room])}")
    assert not wrong, "\n".join(wrong)


def test_grpc_stays_where_it_belongs():
    wrong = [f"{file} includes {path}" for file, path in includes()
             if file.parts[0] in GRPC_FREE and path.split("/")[0] in ("grpc", "grpcpp", "grpc++")
             and not file.stem.endswith("_test")]  # tests talk to the program as clients do
    assert not wrong, "\n".join(wrong)


def test_our_includes_start_at_src():
    wrong = [f"{file} includes {path}" for file, path in includes() if path.startswith((".", "src/"))]
    assert not wrong, "\n".join(wrong)
