"""What is in the root, for people (executables.txt) and for scanners (SPDX 2.3 JSON)."""

import hashlib
import json
import pathlib
import subprocess
import time

import debian
import root

# Debian 12 packages whose code is linked statically into our own programs; a scanner must see those too.
LINKED_STATICALLY = ("libgrpc++-dev", "libprotobuf-dev", "libabsl-dev", "zlib1g-dev", "libc-ares-dev", "libre2-dev",
                     "libnghttp2-dev", "libyaml-dev", "libc6-dev", "libstdc++-12-dev")


def executables(tree: pathlib.Path, files: dict[str, root.File]) -> str:
    """One line each: size in bytes, path, where it comes from. A second name of the same file counts 0."""
    seen: set[int] = set()
    lines = []
    for path in sorted(path for path, file in files.items() if file.executable):
        status = (tree / path[1:]).stat()
        lines.append((0 if status.st_ino in seen else status.st_size, path, files[path].origin))
        seen.add(status.st_ino)
    body = "# size path (from); a second name of the same file counts 0\n" + "".join(f"{size:>10} {path} ({origin})\n" for size, path, origin in lines)
    return body + f"# {sum(size for size, _, _ in lines)} bytes in {len(lines)} executables\n"


def spdx(version: str, epoch: int, tree: pathlib.Path, files: dict[str, root.File],
         packages: dict[str, debian.Package], kernel_package: str, kubelet_origin: str) -> str:
    used = {file.origin for file in files.values()}
    package_of = {"kernel": kernel_package}
    documents = [package("Stele", "stele", version, "pkg:generic/stele@" + version)]
    relations = [relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Package-stele")]
    for name in sorted(packages):
        if name in used or name == kernel_package:
            deb = packages[name]
            documents.append(package(name, name, deb.version, f"pkg:deb/debian/{name}@{deb.version}?arch=amd64&distro=trixie",
                                     sha256=deb.sha256))
            relations.append(relation("SPDXRef-Package-stele", "CONTAINS", f"SPDXRef-Package-{reference(name)}"))
    documents.append(package("kubelet", "kubelet", kubelet_origin, f"pkg:generic/kubelet@{kubelet_origin}"))
    relations.append(relation("SPDXRef-Package-stele", "CONTAINS", "SPDXRef-Package-kubelet"))
    for name, linked in linked_statically().items():
        documents.append(package(name, name, linked, f"pkg:deb/debian/{name}@{linked}?arch=amd64&distro=bookworm"))
        relations.append(relation("SPDXRef-Package-stele", "STATIC_LINK", f"SPDXRef-Package-{reference(name)}"))

    entries = []
    for number, path in enumerate(sorted(files)):
        data = (tree / path[1:]).read_bytes()
        entries.append({"SPDXID": f"SPDXRef-File-{number}", "fileName": "." + path,
                        "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(data).hexdigest()},
                                      {"algorithm": "SHA256", "checksumValue": hashlib.sha256(data).hexdigest()}],
                        "licenseConcluded": "NOASSERTION", "copyrightText": "NOASSERTION"})
        origin = package_of.get(files[path].origin, files[path].origin)
        owner = "kubelet" if path == "/usr/bin/kubelet" else origin if origin in packages else "stele"
        relations.append(relation(f"SPDXRef-Package-{reference(owner)}", "CONTAINS", f"SPDXRef-File-{number}"))
    contents = hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
    return json.dumps({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"stele-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/stele-{version}-{contents[:32]}",
        "creationInfo": {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)), "creators": ["Tool: stele-image"]},
        "packages": documents, "files": entries, "relationships": relations,
    }, indent=1, sort_keys=True) + "\n"


def package(name: str, identifier: str, version: str, purl: str, sha256: str | None = None) -> dict:
    described = {"SPDXID": f"SPDXRef-Package-{reference(identifier)}", "name": name, "versionInfo": version,
                 "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
                 "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
                 "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                                   "referenceLocator": purl.replace("+", "%2B")}]}
    if sha256:
        described["checksums"] = [{"algorithm": "SHA256", "checksumValue": sha256}]
    return described


def relation(first: str, kind: str, second: str) -> dict:
    return {"spdxElementId": first, "relationshipType": kind, "relatedSpdxElement": second}


def reference(name: str) -> str:
    """SPDX identifiers know letters, digits, dots and dashes."""
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in name)


def linked_statically() -> dict[str, str]:
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *LINKED_STATICALLY], capture_output=True, text=True)
    return dict(line.split() for line in done.stdout.splitlines() if len(line.split()) == 2)
