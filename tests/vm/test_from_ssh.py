"""docs/from-ssh.md: every row of it, on a real node with containerd, the kubelet and a pod."""

import os
import re
import shlex
import shutil
import subprocess
import time

import harness
import pytest

ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<ssh>[^|]+) \| `(?P<command>osctl [^`]+)` \|$", re.M)
ROWS = [match.groupdict() for match in ROW.finditer((harness.TOP / "docs/from-ssh.md").read_text())]
# What only says something on standard error, or writes a file.
SILENT = ("service ", "container ", "archive ", "support ", "capture ", "reboot ", "shutdown ", "apply ", "edit ", "patch ", "config diff ", "config validate ")
FOLLOWS = ("-w", "-f")  # of get and logs: until somebody ends it
# What a virtual machine need not have.
MAY_BE_EMPTY = {"logsinks", "revocations", "usbdevices", "sensors", "watchdogs", "diskhealth", "neighbours"}


@pytest.fixture(scope="module")
def node():
    # Taken over by every osctl of the node; an editor that changes nothing.
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("EDITOR", "true")
        environment.delenv("VISUAL", raising=False)
        yield from running_node()


def running_node():
    pods = [harness.static_pod("hello", "tick", 20)]
    with harness.node("from-ssh", firmware="ovmf", static_pods=pods, lifetime=900) as made:
        made.wait_api(180)
        made.import_image(harness.probe_image())
        made.wait_service("kubelet")
        made.wait_for("the pod runs", lambda: any(c["body"].get("state") == "Running" for c in made.get("containers").values()), 240)
        yield made


@pytest.fixture(scope="module")
def files(node, tmp_path_factory):
    folder = tmp_path_factory.mktemp("from-ssh")
    shutil.copy(node.config, folder / "node.yaml")
    shutil.copy(harness.probe_image(), folder / "image.tar")
    return folder


def test_there_are_at_least_sixty_rows():
    assert len(ROWS) >= 60
    assert len({row["command"] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row["command"] for row in ROWS])
def test_row(node, files, row, monkeypatch):
    monkeypatch.chdir(files)
    pod = next(i for i in node.get("pods") if i.startswith("default/hello"))
    words = shlex.split(row["command"].replace("default/hello-node1", pod))[1:]
    if words[0] in ("get", "logs") and any(word in FOLLOWS for word in words):
        return follow(node, words)
    before = {c["body"].get("containerId") for c in node.get("containers").values()} if words[0] == "container" else set()
    code, out, err = node.try_osctl(*words)
    assert code == 0, (row["command"], err)
    empty = words[0] == "get" and words[1] in MAY_BE_EMPTY or "--field-selector" in words or "-l" in words
    if empty and not out:
        assert err.startswith(f"no {words[1]}"), err
    elif not row["command"].removeprefix("osctl ").startswith(SILENT):
        assert out.strip(), (row["command"], err)
    if words[0] == "archive":
        assert "var/log" in subprocess.run(["tar", "-tf", files / "logs.tar"], check=True, capture_output=True, text=True).stdout
    if words[0] == "support":
        names = subprocess.run(["tar", "-tzf", files / "case.tar.gz"], check=True, capture_output=True, text=True).stdout
        assert all(f"/{name}\n" in names for name in ("summary.txt", "logs/kernel.log", "logs/audit.log", "logs/init.log", "logs/kubelet.log", "resources/pods.json"))
    if words[0] == "container":
        node.wait_for("another runs in its place", lambda: any(
            c["body"].get("state") == "Running" and c["body"].get("containerId") not in before for c in node.get("containers").values()), 120)
    if words[:2] == ["image", "remove"]:
        node.wait_for("it is gone", lambda: not any(words[-1] in i["body"].get("names", []) for i in node.get("images").values()), 30)
    if words[0] == "capture":
        assert (files / "trace.pcap").read_bytes()[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1")


def follow(node, words):
    process = node.popen(*words, stdout=subprocess.PIPE)
    try:
        os.set_blocking(process.stdout.fileno(), False)
        seen, end = b"", time.monotonic() + 20
        while not seen and time.monotonic() < end:
            seen = process.stdout.read() or b""
            time.sleep(0.1)
        assert seen and process.poll() is None
    finally:
        process.kill()
        process.wait()
