"""The kubelet that enters the root: a given file or URL, or built from Debian 12's `kubernetes` source package.

Building takes about three minutes on two cores and happens once: the result is kept in the cache under everything it
was made from. Upstream's own build tags leave out what a node with CRI cannot use: `dockerless` (whose cAdvisor part
also waits 5 s for a docker socket at start) and `providerless` (cloud SDKs, a fifth of the binary).
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import urllib.request

import cache
import debian

GO = "go"
TAGS = "dockerless,providerless"
BUILD_TIMEOUT_SECONDS = 40 * 60


def get(source: str | None) -> pathlib.Path:
    """The path of the kubelet binary; `source` is a file, an http(s) URL, or None for Debian's."""
    if source is None:
        return _built()
    if re.match(r"https?://", source):
        return _downloaded(source)
    path = pathlib.Path(source)
    if not path.is_file():
        raise debian.Error(f"--kubelet {source}: no such file")
    return path


def _downloaded(url: str) -> pathlib.Path:
    final = cache.root() / "kubelet" / f"url-{hashlib.sha256(url.encode()).hexdigest()[:16]}" / "kubelet"
    with cache.locked("kubelet"):
        if not final.is_file():
            print(f"fetching {url}", flush=True)
            with cache.new_directory(final.parent) as scratch:
                try:
                    with urllib.request.urlopen(url, timeout=60) as reply, open(scratch / "kubelet", "wb") as out:
                        shutil.copyfileobj(reply, out)
                except OSError as error:
                    raise debian.Error(f"--kubelet {url}: {error}") from error
    return final


def _built() -> pathlib.Path:
    source = debian.bookworm_source().fetch_source("kubernetes")
    go_version = debian.run([GO, "version"]).split()[2]
    version = source.parent.name.removeprefix("kubernetes_")
    final = cache.root() / "kubelet" / f"{version}_{go_version}_{TAGS.replace(',', '+')}" / "kubelet"
    with cache.locked("kubelet"):
        if not final.is_file():
            print(f"building the kubelet from Debian's kubernetes {version}, about 3 minutes, once", flush=True)
            with cache.new_directory(final.parent) as scratch:
                _build(source, version, scratch)
    return final


def _build(source: pathlib.Path, debian_version: str, out: pathlib.Path) -> None:
    # The old GOPATH layout is the only one in which the vendored tree builds without a network.
    gopath = out / "gopath"
    (gopath / "src/k8s.io").mkdir(parents=True)
    (gopath / "src/k8s.io/kubernetes").symlink_to(source)
    upstream = re.sub(r"^.*really|-.*$", "", debian_version)
    major, minor = upstream.split(".")[:2]
    values = {"gitVersion": f"v{upstream}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "archive",
              "gitCommit": f"debian-{debian_version}", "buildDate": "1970-01-01T00:00:00Z"}
    # In GOPATH mode a vendored package is known to the linker under its whole path.
    package = "k8s.io/kubernetes/vendor/k8s.io/component-base/version"
    defines = [f"-X {package}.{key}={value}" for key, value in values.items()]
    env = os.environ | {"GO111MODULE": "off", "CGO_ENABLED": "0", "GOFLAGS": "", "GOPATH": str(gopath), "GOARCH": "amd64",
                        "GOOS": "linux", "GOCACHE": str(cache.root() / "go-build"), "GOTOOLCHAIN": "local"}
    command = ["nice", GO, "build", "-trimpath", "-tags", TAGS, "-ldflags", " ".join(["-s -w -buildid=", *defines]),
               "-o", str(out / "kubelet"), "k8s.io/kubernetes/cmd/kubelet"]
    done = subprocess.run(command, cwd=gopath / "src/k8s.io/kubernetes", env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=BUILD_TIMEOUT_SECONDS)
    if done.returncode != 0:
        raise debian.Error(f"go build kubelet: exit {done.returncode}\n{done.stderr[-3000:]}")
    # The node chooses its settings by this answer.
    answer = debian.run([out / "kubelet", "--version"]).strip()
    if answer != f"Kubernetes v{upstream}":
        raise debian.Error(f"the kubelet just built calls itself {answer}, not v{upstream}")
    shutil.rmtree(gopath)
    # A gigabyte that no later build reads: the binary above is what is kept.
    shutil.rmtree(cache.root() / "go-build", ignore_errors=True)
