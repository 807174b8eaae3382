"""A small internet for a node: a router and a host behind it, each in a network namespace of its own.

    node eth-lab 10.77.1.2, fd77:1::2 ── router 10.77.1.1, fd77:1::1 | 10.77.2.1, fd77:2::1 ── far 10.77.2.2, fd77:2::2

The link between router and far takes 1,300 bytes. On the router 10.77.1.1 is a dnsmasq, and 10.77.1.3 a name server
that never answers.
"""

import os
import signal
import subprocess
import time

MTU = 1300

# What dnsmasq knows, besides the names of crowd.lab.
DNS = ["--host-record=far.lab,10.77.2.2,fd77:2::2", "--cname=alias.lab,far.lab", "--host-record=only4.lab,10.77.2.4"]
CROWD = 120

SILENT = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.77.1.3", 53))
print("ready", flush=True)
while True:
    s.recv(4096)
"""

HTTP = """
import http.server, socket
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_HEAD(self):
        self.send_response(418 if self.path == "/tea?strong" else 200, "Steeped" if self.path == "/tea?strong" else "OK")
        self.end_headers()
    def do_GET(self):
        self.do_HEAD()
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
server = Server(("::", 8080), Handler)
print("ready", flush=True)
server.serve_forever()
"""


class Namespace:
    def __init__(self):
        # Its end is ours: nothing of the lab outlives the test.
        self.process = subprocess.Popen(["unshare", "-n", "--kill-child", "sleep", "infinity"])
        self.pid = self.process.pid
        until = time.monotonic() + 5
        while os.readlink(f"/proc/{self.pid}/ns/net") == os.readlink("/proc/self/ns/net") and time.monotonic() < until:
            time.sleep(0.01)
        self.run("ip", "link", "set", "lo", "up")
        self.children = [self.process]

    def run(self, *command, **options):
        return subprocess.run(["nsenter", "-t", str(self.pid), "-n", *map(str, command)], check=True, **options)

    def start(self, *command, ready=True, **options):
        child = subprocess.Popen(["nsenter", "-t", str(self.pid), "-n", *map(str, command)], stdout=subprocess.PIPE, text=True,
                                 **options)
        self.children.append(child)
        if ready:
            assert child.stdout.readline().strip() == "ready"
        return child

    def stop(self):
        for child in reversed(self.children):
            child.send_signal(signal.SIGKILL)
            child.wait()
            if child.stdout:
                child.stdout.close()


class Lab:
    def __init__(self, node, folder):
        self.node, self.folder = node, folder
        self.router, self.far = Namespace(), Namespace()
        self._link(node.pid, "eth-lab", self.router.pid, "to-node")
        self._link(self.router.pid, "to-far", self.far.pid, "eth0")
        self._addresses(node.pid, "eth-lab", "10.77.1.2/24", "fd77:1::2/64")
        self._addresses(self.router.pid, "to-node", "10.77.1.1/24", "10.77.1.3/24", "fd77:1::1/64")
        self._addresses(self.router.pid, "to-far", "10.77.2.1/24", "fd77:2::1/64")
        self._addresses(self.far.pid, "eth0", "10.77.2.2/24", "fd77:2::2/64")
        for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.router.run("sysctl", "-qw", f"{name}=1")
        for namespace in (self.router, self.far):  # one error a second would be enough for people, not for tests
            namespace.run("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
        self.router.run("ip", "link", "set", "to-far", "mtu", MTU)
        self.far.run("ip", "link", "set", "eth0", "mtu", MTU)
        for pid, gateway4, gateway6 in ((node.pid, "10.77.1.1", "fd77:1::1"), (self.far.pid, "10.77.2.1", "fd77:2::1")):
            self._ip(pid, "route", "add", "default", "via", gateway4)
            self._ip(pid, "-6", "route", "add", "default", "via", gateway6)
        self.router.run("ip", "route", "add", "unreachable", "10.77.5.0/24")
        self._servers()

    @staticmethod
    def _ip(pid, *words):
        subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", *map(str, words)], check=True)

    def _link(self, one, one_name, other, other_name):
        self._ip(one, "link", "add", one_name, "type", "veth", "peer", "name", other_name, "netns", other)
        for pid, name in ((one, one_name), (other, other_name)):
            # Else the first seconds go to finding out whether an address is somebody else's.
            subprocess.run(["nsenter", "-t", str(pid), "-n", "sysctl", "-qw", f"net.ipv6.conf.{name}.accept_dad=0"], check=True)
            self._ip(pid, "link", "set", name, "up")

    def _addresses(self, pid, link, *addresses):
        for address in addresses:
            self._ip(pid, "addr", "add", address, "dev", link, *(["nodad"] if ":" in address else []))

    def _servers(self):
        crowd = self.folder / "crowd-hosts"
        crowd.write_text("".join(f"10.77.9.{i} crowd.lab\n" for i in range(1, CROWD + 1)))
        self.router.start("dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--addn-hosts={crowd}",
                          "--listen-address=10.77.1.1", "--bind-interfaces", "--local=/lab/", "--user=root", "--pid-file=",
                          "--conf-file=/dev/null", "--no-poll", "--dns-forward-max=1", "--edns-packet-max=1232", *DNS, ready=False)
        self.router.start("/usr/bin/python3", "-c", SILENT)
        self.far.start("/usr/bin/python3", "-c", HTTP)
        self._await_dns()

    def _await_dns(self):
        probe = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.3)\n"
                 "s.connect(('10.77.1.1', 53)); s.send(bytes.fromhex('000101000001000000000000') + b'\\3far\\3lab\\0\\0\\1\\0\\1'); s.recv(512)")
        for _ in range(50):
            try:
                self.router.run("/usr/bin/python3", "-c", probe, stderr=subprocess.DEVNULL)
                return
            except subprocess.CalledProcessError:
                time.sleep(0.1)
        raise AssertionError("dnsmasq does not answer")

    def tls_server(self):
        """openssl on far, port 8443, with a certificate of its own making."""
        key, certificate = self.folder / "far.key", self.folder / "far.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
                        "-subj", "/O=Lab/CN=far.lab", "-keyout", key, "-out", certificate], check=True, capture_output=True)
        self.far.start("openssl", "s_server", "-quiet", "-www", "-accept", "8443", "-cert", certificate, "-key", key, ready=False,
                       stderr=subprocess.DEVNULL)
        return certificate

    def stop(self):
        self.far.stop()
        self.router.stop()
