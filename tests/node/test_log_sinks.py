"""Logs forwarded to receivers: JSON and syslog over TCP, TLS and UDP; what is lost is counted, and no service waits."""

import json
import pathlib
import re
import select
import subprocess
import sys
import time

import node as node_module
import pytest

RECEIVER = pathlib.Path(__file__).resolve().parent / "receiver.py"
HEADER = re.compile(r"<(\d+)>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (\S+) (\S+) - - - (.*)", re.S)


class Receiver:
    def __init__(self, node, protocol, port, *words):
        self.process = node.popen_inside(sys.executable, RECEIVER, protocol, port, *words, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stderr.readline() == b"ready\n"
        self.bytes = b""

    def read_until(self, condition, timeout=30):
        """What came until it holds of all that came."""
        until = time.monotonic() + timeout
        while not condition(self.bytes):
            left = until - time.monotonic()
            assert left > 0, f"not in {timeout} s; {len(self.bytes)} bytes, the last: {self.bytes[-300:]}"
            if select.select([self.process.stdout], [], [], left)[0]:
                self.bytes += self.process.stdout.read1(1 << 20)
        return self.bytes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


def forward(node, *sinks):
    """Makes these the node's sinks: dictionaries as in the configuration."""
    path = node.folder / "with-sinks.yaml"
    path.write_text(node.config + "\nlogging: " + json.dumps({"sinks": list(sinks)}) + "\n")
    return node.osctl("config", "apply", "-f", path)


def sink(node, name="central"):
    return node.get("logsinks")[name]["body"]


def numbers_of(data):
    """Of the talker's lines, in JSON records that are whole."""
    found = []
    for line in data.split(b"\n")[:-1]:
        record = json.loads(line)
        if record["source"] == "udevd":
            found.append(int(record["message"].split()[1]))
    return found


def until_number(number):
    return lambda data: b'"message":"line %d"' % number in data


def test_json_lines_over_tcp_from_the_boots_beginning(node):
    with Receiver(node, "tcp", 6001) as receiver:
        forward(node, {"name": "central", "endpoint": "tcp://127.0.0.1:6001"})
        data = receiver.read_until(until_number(2000))
        records = [json.loads(line) for line in data.split(b"\n")[:-1]]
        # The kernel's log is not to be had in namespaces.
        assert {"udevd", "machined", "apid"} <= {record["source"] for record in records}
        assert all(list(record) == ["time", "host", "boot", "source", "message"] for record in records)
        assert numbers_of(data) == list(range(1, len(numbers_of(data)) + 1))
        assert any("machined starts" in record["message"] for record in records)
        node.wait("the sink is shown", lambda: sink(node)["state"] == "connected" and int(sink(node).get("sentLines", 0)) > 1000)
        assert sink(node)["droppedBytes"] == "0"
    assert "logs go to tcp://127.0.0.1:6001" in node.events()


def test_only_the_sources_that_are_named(node):
    with Receiver(node, "tcp", 6001) as receiver:
        forward(node, {"name": "central", "endpoint": "tcp://127.0.0.1:6001", "sources": ["udevd"]})
        data = receiver.read_until(until_number(1000))
        assert {json.loads(line)["source"] for line in data.split(b"\n")[:-1]} == {"udevd"}


def test_what_sends_has_no_rights(node):
    with Receiver(node, "tcp", 6001) as receiver:
        forward(node, {"name": "central", "endpoint": "tcp://127.0.0.1:6001"})
        receiver.read_until(lambda data: len(data) > 1000)
        pids = node.pids("forward")
        assert len(pids) == 1
        status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pids[0]}/status").read_text().splitlines() if ":\t" in line)
        assert status["Uid"].split() == ["904"] * 4 and status["Gid"].split() == ["904"] * 4
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0 and status["NoNewPrivs"] == "1"
        forward(node)  # no sink any more
        node.wait("nothing sends", lambda: node.pids("forward") == [] and node.get("logsinks") == {})


def test_a_killed_machined_and_a_killed_sender_lose_no_line(node):
    with Receiver(node, "tcp", 6001) as receiver:
        forward(node, {"name": "central", "endpoint": "tcp://127.0.0.1:6001"})
        goal = 1000
        for victim in ("machined", "forward", "machined"):
            receiver.read_until(until_number(goal), timeout=60)
            if victim == "machined":
                node.kill_machined()
            else:
                subprocess.run(["kill", "-9", str(node.pids("forward")[0])], check=True)
            goal = max(numbers_of(receiver.bytes.rsplit(b"\n", 1)[0] + b"\n")) + 2000
        # A record that was cut off with its sender is followed by the next one's first: the broken line is none.
        data = receiver.read_until(until_number(goal), timeout=60)
    numbers, broken = set(), 0
    for line in data.split(b"\n")[:-1]:
        try:
            record = json.loads(line)
        except ValueError:
            broken += 1
            continue
        if record["source"] == "udevd":
            numbers.add(int(record["message"].split()[1]))
    assert broken <= 3
    assert numbers >= set(range(1, goal))


def test_a_receiver_that_comes_back_is_found_again(node):
    with Receiver(node, "tcp", 6001) as receiver:
        forward(node, {"name": "central", "endpoint": "tcp://127.0.0.1:6001"})
        receiver.read_until(until_number(1000))
    shown = node.wait("it is told", lambda: sink(node) if sink(node)["state"] == "waiting" else None)
    assert shown["lastError"]
    with Receiver(node, "tcp", 6001) as receiver:
        data = receiver.read_until(lambda data: len(numbers_of(data)) > 1000, timeout=60)
        node.wait("connected", lambda: sink(node)["state"] == "connected")
    numbers = numbers_of(data)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert "logs do not reach" in node.events()


def test_a_receiver_that_stalls_holds_no_service_and_what_it_misses_is_counted(tmp_path):
    folder = node_module.WORK / "stalls"
    subprocess.run(["rm", "-rf", folder], check=True)
    folder.mkdir(parents=True)
    fast = node_module.Node(folder)
    (fast.root / "etc/talker").write_text("10000 2000")  # 200,000 lines a second at most
    with fast as node:
        node.wait_api()
        with Receiver(node, "tcp", 6001, "--stall") as receiver:
            forward(node, {"name": "central", "endpoint": "tcp://127.0.0.1:6001"})
            def last():
                return int(node.osctl("logs", "udevd", "--tail", "1").split()[1])
            began, first = time.monotonic(), last()
            # More than four times what is kept of a log (4 MiB, of some 13 bytes a line).
            node.wait("the service goes on", lambda: last() > first + 1_500_000, timeout=120, pause=0.5)
            rate = (last() - first) / (time.monotonic() - began)
            receiver.process.stdin.close()  # now it reads
            # The gap is found where the segment ends that was being read; until then somebody must read.
            asked = 0
            def counted(data):
                nonlocal asked
                if len(data) < asked + (8 << 20):  # not for each piece that comes
                    return False
                asked = len(data)
                return int(sink(node)["droppedBytes"]) > 0
            receiver.read_until(counted, timeout=120)
            dropped = int(sink(node)["droppedBytes"])
            assert dropped > 4 << 20
            print(f"{rate:.0f} lines a second written meanwhile, {dropped / 1e6:.1f} MB dropped")


@pytest.mark.parametrize("protocol, port", [("tcp", 6002), ("udp", 6003)])
def test_syslog(node, protocol, port):
    with Receiver(node, protocol, port) as receiver:
        forward(node, {"name": "central", "endpoint": f"{protocol}://127.0.0.1:{port}", "format": "rfc5424"})
        data = receiver.read_until(lambda data: b"line 500" in data)
    records = []
    if protocol == "udp":
        records = data.decode().split("\n")[:-1]
    while protocol == "tcp" and (size := re.match(rb"(\d+) ", data)):
        end = size.end() + int(size.group(1))
        records.append(data[size.end():end].decode(errors="replace"))
        data = data[end:]
    parsed = [HEADER.fullmatch(record) for record in records[:-1]]
    assert len(parsed) > 100 and all(parsed), [record for record, match in zip(records, parsed) if not match][:3]
    assert {match.group(1) for match in parsed} == {"30"}
    numbers = [int(match.group(5).split()[1]) for match in parsed if match.group(4) == "udevd"]
    assert numbers[:100] == list(range(1, 101))


def openssl(folder, *words):
    subprocess.run(["openssl", *map(str, words)], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A CA, a receiver's certificate and a client's; another CA."""
    folder = tmp_path_factory.mktemp("keys")
    for ca in ("ca", "other"):
        openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
    for name, extension in (("server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth"), ("client", "extendedKeyUsage=clientAuth"),
                            ("elsewhere", "subjectAltName=IP:127.0.0.2\nextendedKeyUsage=serverAuth")):
        (folder / "extensions").write_text(extension + "\n")
        openssl(folder, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
                f"{name}.key", "-out", f"{name}.csr")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "extensions", "-out", f"{name}.pem")
    return folder


def test_tls_with_a_certificate_of_the_nodes_own(node, keys):
    text = lambda name: (keys / name).read_text()
    tls = {"name": "central", "endpoint": "tls://127.0.0.1:6004", "ca": text("ca.pem"), "certificate": text("client.pem"),
           "key": text("client.key")}
    with Receiver(node, "tls", 6004, "--cert", keys / "server.pem", "--key", keys / "server.key", "--ca", keys / "ca.pem") as receiver:
        forward(node, tls)
        data = receiver.read_until(until_number(1000))
        assert numbers_of(data) == list(range(1, len(numbers_of(data)) + 1))
    # The key is in no output.
    secret = text("client.key").splitlines()[1]
    assert secret not in node.osctl("config", "get") and secret not in node.osctl("get", "logsinks", "-o", "yaml")


@pytest.mark.parametrize("what, ca, certificate, reason", [("another CA's", "other.pem", "server", "certificate is refused"),
                                                           ("another address's", "ca.pem", "elsewhere", "certificate is refused: IP address mismatch")])
def test_a_receiver_whose_certificate_does_not_fit_gets_nothing(node, keys, what, ca, certificate, reason):
    with Receiver(node, "tls", 6004, "--cert", keys / f"{certificate}.pem", "--key", keys / f"{certificate}.key") as receiver:
        forward(node, {"name": "central", "endpoint": "tls://127.0.0.1:6004", "ca": (keys / ca).read_text()})
        node.wait("it is told", lambda: reason in sink(node).get("lastError", ""))
        assert sink(node)["state"] == "waiting" and sink(node)["sentLines"] == "0"
        assert receiver.bytes == b""


@pytest.mark.parametrize("wrong, reason", [
    ({"name": "a", "endpoint": "http://x:1"}, "expected tcp://HOST:PORT"), ({"name": "a", "endpoint": "tcp://x"}, "expected tcp://HOST:PORT"),
    ({"name": "a", "endpoint": "udp://x:1"}, "need a stream"), ({"name": "a", "endpoint": "tcp://x:1", "format": "xml"}, "expected json or rfc5424"),
    ({"name": "a", "endpoint": "tcp://x:1", "ca": "x"}, "is for tls"), ({"name": "A b", "endpoint": "tcp://x:1"}, "logging.sinks[0].name"),
    ({"name": "a", "endpoint": "tls://x:1", "key": "x"}, "both belong together")])
def test_a_sink_that_is_none_is_refused(shared_node, tmp_path, wrong, reason):
    path = tmp_path / "wrong.yaml"
    path.write_text(shared_node.config + "\nlogging: " + json.dumps({"sinks": [wrong]}) + "\n")
    done = shared_node.try_osctl("config", "validate", "-f", path)
    assert done.returncode != 0 and reason in done.stdout + done.stderr, done.stdout + done.stderr
