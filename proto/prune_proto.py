#!/usr/bin/env python3
"""prune_proto.py IN OUT [--method SERVICE.METHOD]... [--message NAME]...: what we use of somebody else's proto.

Keeps the named methods and messages of a proto3 file with every message and enum of the same file they reach, drops
the other methods and messages and the gogoproto options, and asks for the lite runtime. CRI's api.proto as a whole
compiles to 1.1 MB that machined would carry for eight calls. Field numbers stay, so the wire does not notice, and
a field of a dropped message cannot exist: whatever a kept message names is kept.
"""

import argparse
import pathlib
import re
import sys

BLOCK = re.compile(r"^(message|enum|service) (\w+) *\{(?:[ \t]*\}|[ \t]*\n(.*?)^\})[ \t]*\n", re.M | re.S)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
RPC = re.compile(r"rpc (\w+)\s*\(([^)]*)\)\s*returns\s*\(([^)]*)\)\s*(?:\{\s*\}|;)")


def prune(text: str, methods: list[str], messages: list[str]) -> str:
    text = COMMENT.sub("", text)
    text = re.sub(r"\[\s*debug_redact = true\s*\]", "", text)  # newer than our protoc
    blocks = {name: (kind, body) for kind, name, body in BLOCK.findall(text)}
    services: dict[str, list[tuple[str, str, str]]] = {}
    wanted = list(messages)
    for method in methods:
        service, _, name = method.partition(".")
        rpcs = {rpc[0]: rpc for rpc in RPC.findall(blocks[service][1])} if service in blocks else {}
        if name not in rpcs:
            raise SystemExit(f"prune_proto: no method {method}")
        services.setdefault(service, []).append(rpcs[name])
        wanted += re.findall(r"\w+", rpcs[name][1] + " " + rpcs[name][2])
    for name in messages:
        if name not in blocks:
            raise SystemExit(f"prune_proto: no message {name}")
    kept: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in kept or name not in blocks or blocks[name][0] == "service":
            continue
        kept.add(name)
        wanted += re.findall(r"\w+", blocks[name][1])

    head = text[:BLOCK.search(text).start()]
    lines = [line for line in head.splitlines() if line.strip() and "gogoproto" not in line]
    lines.append("option optimize_for = LITE_RUNTIME;")
    for service, rpcs in services.items():
        lines.append(f"service {service} {{")
        lines += [f"  rpc {name}({request}) returns ({response});" for name, request, response in rpcs]
        lines.append("}")
    for name, (kind, body) in blocks.items():
        if name in kept:
            lines += [f"{kind} {name} {{", *(line for line in body.splitlines() if line.strip()), "}"]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("dest", type=pathlib.Path)
    parser.add_argument("--method", action="append", default=[])
    parser.add_argument("--message", action="append", default=[])
    args = parser.parse_args()
    pruned = prune(args.source.read_text(), args.method, args.message)
    args.dest.parent.mkdir(parents=True, exist_ok=True)
    if not args.dest.is_file() or args.dest.read_text() != pruned:  # the same text must not make anything compile again
        args.dest.write_text(pruned)
    return 0


if __name__ == "__main__":
    sys.exit(main())
