"""The network seen from the node: real packets through a router, a real dnsmasq, and tcpdump to read what was captured."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

import node as node_module
from conftest import folder
from network_lab import CROWD, MTU, Lab

BIN = node_module.BIN

# Sends so many datagrams to an address and port.
SEND = """
import socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
for i in range(count):
    s.sendto(b"%06d" % i, (host, port))
"""


@pytest.fixture(scope="module")
def lab():
    own = folder("network-debug")
    node = node_module.Node(own)
    text = node.config
    assert "network: {}" in text or re.search(r"^network:", text, re.M) is None
    config = text.replace("network: {}", "") + "\nnetwork:\n  nameservers: [10.77.1.3, 10.77.1.1]\n  search: [lab]\n"
    (node.root / "usr/share/stele/config.yaml").write_text(config)
    with node:
        node.wait_api()
        lab = Lab(node, own)
        node.wait("the resolver is configured", lambda: "10.77.1.1" in node.osctl("get", "resolvers", "-o", "json"))
        try:
            yield lab
        finally:
            lab.stop()


@pytest.fixture
def node(lab):
    return lab.node


def as_json(node, *words, code=0):
    done = node.try_osctl(*words, "-o", "json", timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def seconds(text):
    return float(text.removesuffix("s"))


def start_osctl(node, *words, **options):
    return node.popen_inside(BIN / "osctl", *words, env=node.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def send(node, host, port, count):
    node.inside("/usr/bin/python3", "-c", SEND, host, port, count, check=True)


def sockets(node, kind):
    """How many sockets of /proc/net/KIND the node has."""
    return len(pathlib.Path(f"/proc/{node.pid}/net/{kind}").read_text().splitlines()) - 1


def packets_of(path, *more):
    done = subprocess.run(["tcpdump", "-nr", path, *more], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# ---- ping


@pytest.mark.parametrize("host,hops", [("10.77.1.1", 0), ("10.77.2.2", 1), ("fd77:2::2", 1)])
def test_ping_counts_what_comes_back(node, host, hops):
    summary = as_json(node, "ping", host, "-c", "3", "-i", "100ms")["summary"]
    assert (summary["transmitted"], summary["received"], summary["lossPercent"]) == (3, 3, 0)
    assert 0 < seconds(summary["min"]) <= seconds(summary["avg"]) <= seconds(summary["max"]) < 1
    line = node.osctl("ping", host, "-c", "1", "-s", "1000").splitlines()[1]
    assert re.fullmatch(rf"1000 bytes from {host}: seq=1 ttl={64 - hops} time=[0-9.]+ ms", line)


def test_ping_tells_silence_and_errors_apart(lab, node):
    lab.far.run("ip", "addr", "add", "10.77.2.7/24", "dev", "eth0")
    lab.far.run("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
    try:
        done = node.try_osctl("ping", "10.77.2.7", "-c", "2", "-i", "100ms", "-W", "300ms")
    finally:
        lab.far.run("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=0")
    assert done.returncode == 1 and "2 sent, 0 received, 100% lost" in done.stdout, done.stdout
    assert "seq=1: no answer" in done.stdout and "seq=2: no answer" in done.stdout
    done = node.try_osctl("ping", "10.77.5.5", "-c", "1")
    assert done.returncode == 1 and "from 10.77.1.1: seq=1: host unreachable" in done.stdout, done.stdout
    done = node.try_osctl("ping", "10.77.2.2", "-c", "1", "-I", "lo", "-W", "300ms")
    assert done.returncode == 1
    assert "neither an address nor an interface" in node.try_osctl("ping", "10.77.2.2", "-I", "eth-none").stderr


def test_ping_finds_the_mtu(node):
    """28 bytes of headers: what fits passes in one piece, one more does not."""
    assert as_json(node, "ping", "10.77.2.2", "-c", "1", "--dont-fragment", "-s", MTU - 28)["summary"]["received"] == 1
    done = node.try_osctl("ping", "10.77.2.2", "-c", "1", "--dont-fragment", "-s", MTU - 27)
    assert done.returncode == 1 and f"from 10.77.1.1: seq=1: too large: the next link takes {MTU} bytes" in done.stdout
    assert as_json(node, "ping", "10.77.2.2", "-c", "1", "-s", "4000")["summary"]["received"] == 1


def test_ping_by_name_and_family(node):
    assert as_json(node, "ping", "far", "-c", "1")["address"] == "fd77:2::2"
    assert as_json(node, "ping", "far", "-c", "1", "-4")["address"] == "10.77.2.2"
    done = node.try_osctl("ping", "only4.lab", "-6", "-c", "1")
    assert done.returncode == 6 and "the name has no such address" in done.stderr


@pytest.mark.parametrize("options,why", [(["-i", "50ms"], "interval"), (["-s", "16001"], "size"), (["-W", "11s"], "timeout")])
def test_ping_refuses_what_is_out_of_bounds(node, options, why):
    done = node.try_osctl("ping", "10.77.1.1", "-c", "1", *options)
    assert done.returncode != 0 and f"{why} must be between" in done.stderr


def test_ctrl_c_sums_up(node):
    ping = start_osctl(node, "ping", "10.77.1.1", "-i", "100ms", text=True)
    assert ping.stdout.readline().startswith("ping 10.77.1.1")
    ping.stdout.readline()
    ping.send_signal(signal.SIGINT)
    out, err = ping.communicate(timeout=5)
    assert ping.returncode == 0, err
    assert re.search(r"10\.77\.1\.1: (\d+) sent, \1 received, 0% lost; min/avg/max/mdev", out), out


def test_a_client_that_dies_takes_its_work_with_it(node):
    def nothing_is_at_work():
        return sockets(node, "raw") == sockets(node, "raw6") == sockets(node, "packet") == 0

    node.wait("nothing is at work", lambda: nothing_is_at_work() and node.calls() == 0)
    clients = [start_osctl(node, "ping", "10.77.1.1"), start_osctl(node, "ping", "fd77:1::1"),
               start_osctl(node, "capture", "-i", "eth-lab", "udp port 9"), start_osctl(node, "traceroute", "10.77.1.99", "-W", "10s"),
               start_osctl(node, "resolve", "far.lab", "--server", "10.77.1.3", "-W", "10s"),
               start_osctl(node, "probe", "tcp", "10.77.1.99:1", "-W", "30s")]
    node.wait("all are at work", lambda: sockets(node, "raw") == 2 and sockets(node, "raw6") == 1 and sockets(node, "packet") == 1
              and node.calls() == 6)
    for client in clients:
        client.kill()
        client.communicate()
    began = time.monotonic()
    node.wait("nothing is left", lambda: nothing_is_at_work() and node.calls() == 0, pause=0.01)
    assert time.monotonic() - began < 1


def test_only_so_many_at_a_time(node):
    clients = [start_osctl(node, "ping", "10.77.1.1", text=True) for _ in range(4)]
    try:
        for client in clients:
            assert client.stdout.readline()
        done = node.try_osctl("ping", "10.77.1.1", "-c", "1")
        assert done.returncode == 1 and "too many pings at a time" in done.stderr
        node.osctl("version")  # what else the node does goes on
    finally:
        for client in clients:
            client.kill()
            client.communicate()
    node.wait("there is room again", lambda: node.osctl("ping", "10.77.1.1", "-c", "1"), 5)


# ---- traceroute


@pytest.mark.parametrize("host,router", [("10.77.2.2", "10.77.1.1"), ("fd77:2::2", "fd77:1::1")])
@pytest.mark.parametrize("how", [[], ["--icmp"]])
def test_traceroute_names_the_router(node, host, router, how):
    trace = as_json(node, "traceroute", host, *how)
    assert trace["reached"] is True and trace["address"] == host
    assert [[probe["from"] for probe in hop["probes"]] for hop in trace["hops"]] == [[router] * 3, [host] * 3]
    assert all(0 < seconds(probe["roundTrip"]) < 1 for hop in trace["hops"] for probe in hop["probes"])


def test_traceroute_of_what_is_not_there(lab, node):
    done = node.try_osctl("traceroute", "10.77.5.6", "-q", "1")
    assert done.returncode == 0, done.stderr
    # The kernel tells only some of those who ask for the unreachable (net.ipv4.route.error_burst).
    assert re.search(r" \d  10\.77\.1\.1  [0-9.]+ ms \(host unreachable\)$", done.stdout), done.stdout
    assert "did not answer itself" in done.stderr
    lab.far.run("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
    try:
        done = node.try_osctl("traceroute", "10.77.2.2", "--icmp", "-m", "3", "-W", "200ms")
    finally:
        lab.far.run("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=0")
    assert done.stdout.splitlines()[-2:] == [" 2  *  *  *", " 3  *  *  *"], done.stdout


# ---- resolve


def resolve(node, *words, code=0):
    response = as_json(node, "resolve", *words, "-W", "300ms", code=code)
    return response, {(q["name"], q["type"], q["server"]): q for q in response["queries"]}


def test_resolve_asks_the_next_server(node):
    """The first one never answers: that is told, and it is not waited for again."""
    response, queries = resolve(node, "far.lab")
    assert sorted(response["answers"]) == ["10.77.2.2", "fd77:2::2"]
    silent = queries["far.lab", "A", "10.77.1.3:53"]
    assert silent["message"] == "no answer within 300ms" and 0.3 <= seconds(silent["duration"]) < 1
    assert queries["far.lab", "A", "10.77.1.1:53"]["code"] == "NOERROR"
    assert ("far.lab", "AAAA", "10.77.1.3:53") not in queries


def test_resolve_follows_the_search_list_and_aliases(node):
    response, queries = resolve(node, "alias", "-4")
    assert response["answers"] == ["10.77.2.2"]
    records = queries["alias.lab", "A", "10.77.1.1:53"]["records"]
    assert [(r["type"], r["data"]) for r in records] == [("CNAME", "far.lab"), ("A", "10.77.2.2")]
    response, queries = resolve(node, "nobody", "--server", "10.77.1.1", code=1)
    assert queries["nobody.lab", "A", "10.77.1.1:53"]["code"] == "NXDOMAIN"
    assert list(dict.fromkeys(q["name"] for q in response["queries"])) == ["nobody.lab", "nobody"]


def test_resolve_of_many_addresses_goes_on_by_tcp(node):
    response, queries = resolve(node, "crowd.lab", "-4", "--server", "10.77.1.1")
    assert len(response["answers"]) == CROWD
    assert queries["crowd.lab", "A", "10.77.1.1:53"]["tcp"] is True


def test_resolve_of_an_address_and_of_the_hosts_file(node):
    response, queries = resolve(node, "10.77.2.2")
    assert response["answers"] == ["far.lab"]
    assert queries["2.2.77.10.in-addr.arpa", "PTR", "10.77.1.1:53"]["code"] == "NOERROR"
    response, queries = resolve(node, "localhost")
    assert response["answers"] == ["127.0.0.1", "::1"] and [key[2] for key in queries] == ["/etc/hosts"]


def test_resolve_where_nobody_answers(node):
    began = time.monotonic()
    response, _ = resolve(node, "far.lab", "--server", "10.77.1.3", code=1)
    assert [q["message"] for q in response["queries"]] == ["no answer within 300ms"] * 2
    assert time.monotonic() - began < 3
    refused, _ = resolve(node, "far.lab", "--server", "10.77.2.2:99", code=1)
    assert "refused" in refused["queries"][0]["message"].lower()
    done = node.try_osctl("resolve", "bad name")
    assert done.returncode != 0 and "not a host name" in done.stderr


# ---- probe


def test_probe_tcp(node):
    probe = as_json(node, "probe", "tcp", "far.lab:8080")
    assert probe["answered"] and probe["address"] == "[fd77:2::2]:8080" and probe["localAddress"].startswith("[fd77:1::2]:")
    assert 0 < seconds(probe["connectTime"]) < 1 and seconds(probe["nameTime"]) > 0
    closed = as_json(node, "probe", "tcp", "10.77.2.2:8081", code=1)
    assert closed["failedStep"] == "connect" and "refused" in closed["message"].lower()
    silent = as_json(node, "probe", "tcp", "10.77.1.99:1", "-W", "300ms", code=1)
    assert silent["failedStep"] == "connect" and silent["message"] == "no answer within 300ms"
    nobody = as_json(node, "probe", "tcp", "nobody.lab:80", code=1)
    assert nobody["failedStep"] == "name"


def test_probe_http(node):
    probe = as_json(node, "probe", "http", "http://10.77.2.2:8080/tea?strong")
    assert probe["statusLine"] == "HTTP/1.1 418 Steeped" and 0 < seconds(probe["httpTime"]) < 2
    assert "HTTP/1.1 200 OK" in node.osctl("probe", "http", "http://[fd77:2::2]:8080", "--get")
    done = node.try_osctl("probe", "http", "ftp://10.77.2.2")
    assert done.returncode != 0 and "does not begin with http://" in done.stderr


def test_probe_https_shows_the_certificate(lab, node):
    certificate = lab.tls_server()
    node.wait("the server is up", lambda: node.osctl("probe", "tcp", "10.77.2.2:8443"))
    probe = as_json(node, "probe", "http", "https://far.lab:8443/", "-4", "--get")
    assert probe["statusLine"].startswith("HTTP/1.0 200"), probe
    assert probe["tls"]["subject"] == "CN=far.lab,O=Lab" and probe["tls"]["version"] == "TLSv1.3"
    assert probe["tls"]["trusted"] is False and "self-signed" in probe["tls"]["problem"]
    end = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-enddate", "-dateopt", "iso_8601"], capture_output=True,
                         text=True, check=True).stdout.split("=")[1].strip()
    assert probe["tls"]["notAfter"] == end.replace(" ", "T")
    assert "tls" not in as_json(node, "probe", "http", "https://10.77.2.2:8080/", code=1).get("statusLine", "")


# ---- capture


class Capturing:
    """osctl capture to a file, from when the node listens until Ctrl-C."""

    def __init__(self, node, path, *words):
        self.node, self.path = node, path
        self.process = start_osctl(node, "capture", "-w", path, *words, text=True)
        assert self.process.stderr.readline() == "osctl: capturing; Ctrl-C ends it\n"

    def end(self):
        time.sleep(0.5)  # the node keeps packets together for 0.2 s
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self):
        _, err = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, err
        return err


def test_capture_has_what_was_sent_and_nothing_else(lab, node):
    path = lab.folder / "trace.pcap"
    capturing = Capturing(node, path, "-i", "eth-lab", "udp", "port", "7777")
    send(node, "10.77.2.2", 7777, 500)
    send(node, "10.77.2.2", 7778, 500)
    send(node, "fd77:2::2", 7777, 250)
    err = capturing.end()
    assert "750 packets" in err and "0 dropped" in err
    lines = packets_of(path)
    assert len(lines) == 750 and all("7777" in line for line in lines)
    assert len(packets_of(path, "ip6")) == 250
    assert os.stat(path).st_mode & 0o777 == 0o600
    events = node.osctl("events")
    assert "packets are captured for admin (admin) from 127.0.0.1:" in events and "filter: udp port 7777" in events
    node.wait("its end is an event", lambda: "750 packets, 0 dropped" in node.osctl("events"), 3)


def test_capture_of_all_interfaces(lab, node):
    path = lab.folder / "any.pcap"
    capturing = Capturing(node, path, "udp port 7779 or icmp")
    send(node, "127.0.0.1", 7779, 10)  # once each, although loopback shows them twice
    send(node, "10.77.2.2", 7779, 10)
    capturing.end()
    assert len(packets_of(path, "udp")) == 20
    assert len(packets_of(path, "icmp")) >= 2  # port unreachable, some of them


def test_capture_ends_at_its_limits(lab, node):
    path = lab.folder / "limits.pcap"
    capturing = Capturing(node, path, "-i", "eth-lab", "-c", "5", "udp port 7780")
    send(node, "10.77.2.2", 7780, 20)
    assert "5 packets" in (err := capturing.wait()) and "ended by max_packets" in err
    assert len(packets_of(path)) == 5
    capturing = Capturing(node, path, "-t", "300ms", "udp port 1")
    assert "0 packets, 24B, 0 dropped; ended by duration" in capturing.wait()
    capturing = Capturing(node, path, "-i", "eth-lab", "-s", "64", "--max-size", "1", "udp port 7781")
    send(node, "10.77.2.2", 7781, 20000)
    assert "ended by max_bytes" in capturing.wait()
    assert 2**20 - 100 < os.stat(path).st_size <= 2**20
    packets_of(path)


def test_capture_leaves_its_own_transport_out(lab, node):
    path = lab.folder / "own.pcap"
    capturing = Capturing(node, path, "-i", "lo", "tcp")
    for _ in range(3):
        node.osctl("version")
    capturing.end()
    assert packets_of(path) == []
    capturing = Capturing(node, path, "-i", "lo", "--with-api", "tcp port 50000")
    own = node.inside("ss", "-Htnp", "dport", "=", ":50000", capture_output=True, text=True).stdout
    port = re.search(rf"127\.0\.0\.1\]?:(\d+) .*pid={capturing.process.pid}\b", own).group(1)
    node.osctl("version")
    capturing.end()
    assert packets_of(path) and packets_of(path, "port", port) == []


def test_capture_survives_an_interface_that_goes(lab, node):
    lab._ip(node.pid, "link", "add", "short", "type", "bridge")
    lab._ip(node.pid, "link", "set", "short", "up")
    capturing = Capturing(node, lab.folder / "short.pcap", "-i", "short", "udp port 1")
    lab._ip(node.pid, "link", "del", "short")
    assert "ended by interface gone" in capturing.wait()


def test_capture_reads_a_tunnel(lab, node):
    """Packets of a link without a header begin with IP."""
    lab._ip(node.pid, "tuntap", "add", "dev", "tun-lab", "mode", "tun")
    lab._ip(node.pid, "addr", "add", "10.88.0.1/24", "dev", "tun-lab")
    path = lab.folder / "tun.pcap"
    holder = node.popen_inside("/usr/bin/python3", "-c",
                               "import fcntl, struct, time\nf = open('/dev/net/tun', 'r+b', buffering=0)\n"
                               "fcntl.ioctl(f, 0x400454ca, struct.pack('16sH', b'tun-lab', 0x1001))\nprint('ready', flush=True)\ntime.sleep(60)",
                               stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "ready\n"
        lab._ip(node.pid, "link", "set", "tun-lab", "up")
        capturing = Capturing(node, path, "-i", "tun-lab", "dst host 10.88.0.9 and udp")
        send(node, "10.88.0.9", 9, 7)
        capturing.end()
    finally:
        holder.kill()
        holder.communicate()
    assert len(packets_of(path)) == 7


@pytest.mark.parametrize("words,why", [
    (["-i", "eth-none"], "no interface 'eth-none'"),
    (["port http"], "filter, column 6: 'http': expected a port's number"),
    (["host far.lab"], "expected an address (names are not looked up)"),
    (["tcp or udp and port 53"], "and and or together need parentheses"),
])
def test_capture_says_what_is_wrong(lab, node, words, why):
    done = node.try_osctl("capture", "-w", lab.folder / "none.pcap", *words)
    assert done.returncode != 0 and why in done.stderr, done.stderr


def test_capture_is_not_for_a_terminal(node):
    main, terminal = os.openpty()
    done = node.inside(BIN / "osctl", "capture", env=node.environment(), stdout=terminal, stderr=subprocess.PIPE, text=True, timeout=20)
    os.close(terminal)
    os.close(main)
    assert done.returncode == 2 and "not for a terminal" in done.stderr


def test_capture_is_for_administrators(node):
    node.run_osctl("gen", "client", "--role", "operator", "--name", "op", "-o", node.folder / "keys")
    config = (node.folder / "keys/osctl.yaml").read_text()
    as_operator = node.folder / "operator.yaml"
    as_operator.write_text(config.replace("admin.crt", str(node.folder / "keys/op.crt")).replace("admin.key", str(node.folder / "keys/op.key"))
                           .replace("server-ca.crt", str(node.folder / "keys/server-ca.crt")))
    environment = node.environment() | {"OSCTLCONFIG": str(as_operator)}

    def run(*words):
        return node.inside(BIN / "osctl", *words, env=environment, capture_output=True, text=True, timeout=20)

    done = run("ping", "10.77.1.1", "-c", "1")
    assert done.returncode == 0, done.stderr
    done = run("capture", "-w", node.folder / "no.pcap")
    assert done.returncode == 5, done.stderr


def test_capture_for_a_client_that_does_not_read_costs_nothing_but_packets(lab, node):
    """What does not fit is dropped and counted; the node waits with a few megabytes and answers others."""
    reader, writer = os.pipe()
    capture = node.popen_inside(BIN / "osctl", "capture", "-i", "lo", "udp port 7790", env=node.environment(), stdout=writer,
                                stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert capture.stderr.readline() == "osctl: capturing; Ctrl-C ends it\n"
    code = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nfor _ in range(4000):\n    s.sendto(bytes(9000), ('127.0.0.1', 7790))"
    node.inside("/usr/bin/python3", "-c", code, check=True)
    node.osctl("version", "--timeout", "2s")
    os.set_blocking(reader, False)
    data, until = b"", time.monotonic() + 3
    while time.monotonic() < until:
        try:
            data += os.read(reader, 1 << 20)
        except BlockingIOError:
            time.sleep(0.05)
    capture.send_signal(signal.SIGINT)
    os.set_blocking(reader, True)
    while more := os.read(reader, 1 << 20):
        data += more
    _, err = capture.communicate(timeout=10)
    os.close(reader)
    kept, dropped = map(int, re.search(r"(\d+) packets, .* (\d+) dropped", err).groups())
    (lab.folder / "slow.pcap").write_bytes(data)
    assert len(packets_of(lab.folder / "slow.pcap")) == kept
    assert kept + dropped == 4000 and dropped > 0, err
