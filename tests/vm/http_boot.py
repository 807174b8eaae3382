"""A network of its own, in which a machine boots by HTTP: a DHCP server, dnsmasq, and a web server, Python's.

It is a network namespace; the machine has a tap device in it, and gets that as an open file, wherever QEMU itself runs.
"""

import contextlib
import ctypes
import fcntl
import os
import struct
import subprocess
import threading
import time

SERVER = "10.78.0.1"
PROGRAM = "stele-medium.efi"
TAP = "to-node"
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 0x0002, 0x1000, 0x4000
CLONE_NEWNET = 0x40000000


class Network:
    def __init__(self, folder, served):
        """`served`: the web server's folder. Logs go to `folder`: dhcp.log, http.log."""
        self.folder, self.served, self.children, self.link = folder, served, [], -1
        self.dhcp_log, self.http_log = folder / "dhcp.log", folder / "http.log"

    def start(self):
        self.children.append(subprocess.Popen(["unshare", "-n", "--kill-child", "sleep", "infinity"]))
        self.namespace = f"/proc/{self.children[0].pid}/ns/net"
        until = time.monotonic() + 5
        while os.readlink(self.namespace) == os.readlink("/proc/self/ns/net") and time.monotonic() < until:
            time.sleep(0.01)
        self.link = self._tap()
        for words in (("link", "set", "lo", "up"), ("addr", "add", f"{SERVER}/24", "dev", TAP), ("link", "set", TAP, "up")):
            subprocess.run(self._inside("ip", *words), check=True)
        # What docs/install.md tells an operator to configure: to HTTP clients, and to none else, their class and the address.
        self._serve(self.dhcp_log, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--port=0",
                    f"--dhcp-leasefile={self.folder / 'leases'}", "--log-dhcp", "--log-facility=-", f"--interface={TAP}", "--bind-interfaces",
                    "--dhcp-range=10.78.0.10,10.78.0.20,1h", "--dhcp-option=option:router",
                    "--dhcp-vendorclass=set:http,HTTPClient:Arch:00016", "--dhcp-option-force=tag:http,60,HTTPClient",
                    f"--dhcp-boot=tag:http,http://{SERVER}/{PROGRAM}")
        self._serve(self.http_log, "/usr/bin/python3", "-u", "-m", "http.server", "--protocol", "HTTP/1.1", "--bind", SERVER,
                    "--directory", str(self.served), "80")

    def stop(self):
        for child in reversed(self.children):
            child.kill()
            child.wait()
        if self.link >= 0:
            os.close(self.link)

    def _inside(self, *command):
        return ["nsenter", f"--net={self.namespace}", *command]

    def _serve(self, log, *command):
        with open(log, "wb") as opened:
            self.children.append(subprocess.Popen(self._inside(*command), stdin=subprocess.DEVNULL, stdout=opened, stderr=opened))

    def _tap(self):
        """A tap device belongs to the namespace of who opens it. A thread may be in another one than its process."""
        opened = []

        def there():
            with open(self.namespace) as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    opened.append(OSError(ctypes.get_errno(), "setns"))
                    return
            link = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            fcntl.ioctl(link, TUNSETIFF, struct.pack("16sH22x", TAP.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
            opened.append(link)

        thread = threading.Thread(target=there)
        thread.start()
        thread.join()
        if not opened or isinstance(opened[0], OSError):
            raise opened[0] if opened else OSError("no tap device")
        return opened[0]


@contextlib.contextmanager
def network(folder, served):
    made = Network(folder, served)
    try:
        made.start()
        yield made
    finally:
        made.stop()
