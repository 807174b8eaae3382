"""A node's files through the API: listed, read, counted, archived; and what no one may have."""

import json
import os
import pathlib
import subprocess
import time

import pytest

import node as node_module


def place(node, path):
    """A path of the node as the host reaches it: in init's mount namespace, which machined shares."""
    return pathlib.Path(f"/proc/{node.pid}/root{path}")


def as_role(node, role):
    """Runs osctl with a certificate of that role."""
    keys = node.folder / "keys"
    if not (keys / f"files-{role}.crt").exists():
        node.run_osctl("gen", "client", "--role", role, "--name", f"files-{role}", "-o", keys)
        text = (keys / "osctl.yaml").read_text()
        assert "admin.crt" in text and "admin.key" in text
        (keys / f"osctl-{role}.yaml").write_text(text.replace("admin.crt", f"files-{role}.crt").replace("admin.key", f"files-{role}.key"))

    def run(*words, **options):
        environment = os.environ | {"OSCTLCONFIG": str(keys / f"osctl-{role}.yaml")}
        return node.inside(node_module.BIN / "osctl", *words, env=environment, capture_output=True, timeout=30, **options)
    return run


def listed(node, *words):
    return {entry["path"]: entry for entry in json.loads(node.osctl("ls", *words, "-o", "json"))["items"]}


@pytest.fixture(scope="module")
def tree(shared_node):
    """Files of every kind below /var/log of the node, and bytes that are no text."""
    top = place(shared_node, "/var/log/tree")
    (top / "deep/er/est").mkdir(parents=True)
    (top / "empty-dir").mkdir()
    (top / "large").write_bytes(bytes(i * 31 >> 3 & 255 for i in range(3_000_000)))
    (top / "empty").write_bytes(b"")
    (top / "deep/er/est/file").write_text("deep\n")
    (top / ("n" * 200)).write_text("long name\n")
    (top / "umlaut-\u00e4 and blank").write_text("text\n")
    (top / "link").symlink_to("deep/er/est/file")
    (top / "out").symlink_to("/etc/passwd")
    (top / "closed").write_text("for administrators\n")
    (top / "closed").chmod(0o600)
    (top / "tls.key").write_text("for nobody\n")
    os.link(top / "large", top / "deep/large-again")
    os.mkfifo(top / "fifo")
    return top


def test_ls_shows_where_to_look(shared_node):
    top = listed(shared_node, "/")
    assert top["/etc"]["access"] == "ACCESS_READER"
    assert top["/var"]["access"] == "ACCESS_READER"
    assert top["/dev"]["access"] == "ACCESS_NOBODY"
    assert top["/bin"]["linkTarget"] == "usr/bin"
    for path in ("/usr/lib/stele", "/opt/cni/bin", "/etc", "/run/udev", "/var/log", "/tmp", "/proc/1/net", "/sys/fs/cgroup", "/sys/devices/virtual/net/lo"):
        assert listed(shared_node, path) or path in ("/opt/cni/bin", "/tmp"), path
    table = shared_node.osctl("ls", "/etc")
    assert table.splitlines()[0].split() == ["MODE", "OWNER", "SIZE", "AGE", "FOR", "NAME"]
    assert " passwd\n" in table


def test_ls_goes_down_and_is_cut(shared_node, tree):
    found = listed(shared_node, "/var/log/tree", "-R")
    assert found["/var/log/tree/deep/er/est/file"]["sizeBytes"] == "5"
    assert found["/var/log/tree/fifo"]["kind"] == "FILE_KIND_FIFO"
    assert found["/var/log/tree/tls.key"]["access"] == "ACCESS_NOBODY"
    assert found["/var/log/tree/closed"]["access"] == "ACCESS_ADMIN"
    done = shared_node.try_osctl("ls", "/var/log/tree", "-R", "--max", "5")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 6
    assert "too many: ask for less" in done.stderr


def test_read_gives_the_bytes(shared_node, tree):
    assert shared_node.osctl("read", "/etc/passwd") == place(shared_node, "/etc/passwd").read_text()
    done = shared_node.inside(node_module.BIN / "osctl", "read", "/var/log/tree/large", env=shared_node.environment(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (tree / "large").read_bytes()
    assert shared_node.osctl("read", "/var/log/tree/deep/er/est/file", "--tail", "3") == "ep\n"
    assert shared_node.osctl("read", "/var/log/tree/deep/er/est/file", "--offset", "1", "--limit", "2") == "ee"
    assert "MemTotal:" in shared_node.osctl("read", "/proc/meminfo")
    assert "Name:\tinit" in shared_node.osctl("read", "/proc/1/status")


def test_read_follows(shared_node, tree):
    growing = tree / "growing"
    growing.write_text("one\n")
    with shared_node.popen_inside(node_module.BIN / "osctl", "read", "/var/log/tree/growing", "-f", env=shared_node.environment(),
                                  stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout.readline() == "one\n"
        with open(growing, "a") as more:
            more.write("two\n")
        assert follower.stdout.readline() == "two\n"
        growing.unlink()  # what is gone has no more to say
        assert follower.wait(timeout=10) == 0


REFUSED_TO_ALL = [
    "/run/stele/apid/tls.pem", "/run/stele", "/run/stele/machined.sock", "/usr/share/stele/config.yaml", "/var/log/tree/tls.key",
    "/proc/1/environ", "/proc/1/mem", "/proc/1/root/etc/passwd", "/proc/1/root/run/stele/apid/tls.pem", "/proc/1/cwd/etc/passwd", "/proc/1/fd/3",
    "/proc/self/status", "/proc/kmsg", "/proc/kcore", "/dev/kmsg", "/dev/zero", "/root/x", "/etc/../run/stele/apid/tls.pem", "/etc/./passwd",
    "etc/passwd", "/var/run/stele/apid/tls.pem", "/bin/x", "/var/log/tree/out", "/var/log/tree/out/x", "/var/log/tree/fifo", "/var/log/tree",
    "/sys/firmware/efi/efivars", "/etc/kubernetes/kubeconfig", "/var/lib/kubelet/pki/x", "",
]


@pytest.mark.parametrize("role", ("reader", "operator", "admin"))
def test_what_nobody_reads(shared_node, tree, role):
    run = as_role(shared_node, role)
    for path in REFUSED_TO_ALL:
        done = run("read", path)
        assert done.returncode != 0 and done.stdout == b"", path
        assert len(done.stderr.decode().strip().splitlines()) == 1, done.stderr


# Each is there, with a mode that would let everybody read it.
SECRETS = ["/var/lib/kubelet/pki/kubelet-client.pem", "/var/lib/kubelet/config.json", "/var/lib/etcd/member/wal",
           "/var/lib/kubelet/pods/1-2/volumes/kubernetes.io~secret/s/token", "/var/lib/kubelet/pods/1-2/volumes/kubernetes.io~projected/p/token",
           "/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db", "/var/log/some.key", "/var/lib/app/kubeconfig.yaml"]


@pytest.mark.parametrize("role", ("reader", "operator", "admin"))
def test_a_secret_that_is_there_is_nobodys(shared_node, role):
    for path in SECRETS:
        file = place(shared_node, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("SECRET")
        file.chmod(0o644)
    run = as_role(shared_node, role)
    for path in SECRETS:
        done = run("read", path)
        assert done.returncode == 5 and b"SECRET" not in done.stdout + done.stderr, (path, done)
        told = run("archive", str(pathlib.Path(path).parent)).stdout
        assert b"SECRET" not in told, path


def test_roles(shared_node, tree):
    readable = {"reader": 5, "operator": 5, "admin": 0}
    for role, code in readable.items():
        done = as_role(shared_node, role)("read", "/var/log/tree/closed")
        assert done.returncode == code, (role, done.stderr)
        if code:
            assert b"/var/log/tree/closed takes the role admin" in done.stderr
            assert b"`osctl ls` shows under FOR" in done.stderr
    assert as_role(shared_node, "reader")("read", "/etc/passwd").returncode == 0
    # Applications' data: names for all, contents for administrators.
    place(shared_node, "/var/lib/app").mkdir(exist_ok=True)
    (place(shared_node, "/var/lib/app") / "data").write_text("theirs\n")
    assert b"data" in as_role(shared_node, "reader")("ls", "/var/lib/app").stdout
    assert as_role(shared_node, "operator")("read", "/var/lib/app/data").returncode == 5
    assert as_role(shared_node, "admin")("read", "/var/lib/app/data").stdout == b"theirs\n"
    # Who read what was not for all is in the node's own log.
    assert "files: read /var/log/tree/closed, asked by files-admin (admin)" in shared_node.osctl("logs", "machined")


def unpack(node, archive, name):
    out = node.folder / name
    out.mkdir()
    subprocess.run(["tar", "-x", "-C", out, "-f", archive], check=True)
    return out


def test_an_archive_unpacks_to_what_was_there(shared_node, tree):
    archive = shared_node.folder / "tree.tar"
    done = shared_node.try_osctl("archive", "/var/log/tree", "-f", archive)
    assert done.returncode == 0, done.stderr
    assert "1 left out, for no role: keys, tokens, state: /var/log/tree/tls.key" in done.stderr
    assert "1 left out, being devices, FIFOs or sockets: /var/log/tree/fifo" in done.stderr
    out = unpack(shared_node, archive, "admin") / "var/log/tree"
    differences = subprocess.run(["diff", "-r", "--no-dereference", tree, out], capture_output=True, text=True).stdout.splitlines()
    assert sorted(differences) == [f"Only in {tree}: fifo", f"Only in {tree}: tls.key"]
    assert (out / "closed").stat().st_mode & 0o777 == 0o600
    assert os.readlink(out / "out") == "/etc/passwd"


def test_an_archive_of_a_reader_lacks_what_he_may_not_read(shared_node, tree):
    done = as_role(shared_node, "reader")("archive", "/var/log/tree")
    assert done.returncode == 0, done.stderr
    archive = shared_node.folder / "reader.tar"
    archive.write_bytes(done.stdout)
    out = unpack(shared_node, archive, "reader") / "var/log/tree"
    assert not (out / "closed").exists() and not (out / "tls.key").exists()
    assert (out / "large").read_bytes() == (tree / "large").read_bytes()
    assert b"1 left out, for a higher role: /var/log/tree/closed\n" in done.stderr
    # All of /etc, with whatever services keep there: nothing of a key.
    assert b"PRIVATE KEY" not in as_role(shared_node, "admin")("archive", "/etc").stdout
    assert b"PRIVATE KEY" not in as_role(shared_node, "admin")("archive", "/usr/share").stdout


def test_du_agrees_with_du(shared_node, tree):
    expected = int(subprocess.run(["du", "-s", "--block-size=1", tree], capture_output=True, text=True, check=True).stdout.split()[0])
    told = json.loads(shared_node.osctl("du", "/var/log/tree", "--depth", "3", "-o", "json"))
    usage = {entry["path"]: int(entry["diskBytes"]) for entry in told["items"]}
    assert usage["/var/log/tree"] == expected
    assert set(usage) == {"/var/log/tree", "/var/log/tree/deep", "/var/log/tree/deep/er", "/var/log/tree/deep/er/est", "/var/log/tree/empty-dir"}
    first = shared_node.osctl("du", "/var").splitlines()[1].split()
    assert first[-1] == "/var"
    # The node's own state is counted with /run and not told of.
    run = json.loads(shared_node.osctl("du", "/run", "--depth", "5", "-o", "json"))
    assert "/run/stele" in {entry["path"] for entry in run["items"]}
    assert not [entry for entry in run["items"] if entry["path"].startswith("/run/stele/")]


@pytest.mark.parametrize("words", [("ls", "/proc", "-R"), ("archive", "/proc/1"), ("du", "/sys"), ("archive", "/"), ("read", "/proc/1/status", "-f")])
def test_the_kernels_files_are_not_walked(shared_node, words):
    done = shared_node.try_osctl(*words)
    assert done.returncode == 1, done.stderr


def test_a_client_that_goes_away_ends_its_walk(node):
    (place(node, "/var/log") / "huge").write_bytes(b"")
    os.truncate(place(node, "/var/log") / "huge", 100 << 30)
    node.osctl("ls", "/var/log")
    readers = [node.popen_inside(node_module.BIN / "osctl", "archive", "/var/log", env=node.environment(), stdout=subprocess.PIPE) for _ in range(12)]
    for reader in readers:
        assert len(reader.stdout.read(1 << 20)) == 1 << 20
    assert node.calls() == len(readers)
    # Nobody reads on: the node waits for them, and does not work.
    (pid,) = node.pids("machined")
    def ticks():
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    time.sleep(1)
    busy = ticks()
    time.sleep(2)
    assert ticks() - busy < 40, "hundredths of a second of processor time in two seconds"
    for reader in readers:
        reader.kill()
        reader.wait()
        reader.stdout.close()
    node.wait("the threads are gone", lambda: node.calls() == 0)
    assert node.osctl("read", "/etc/passwd")
