"""A pod that brings the other ways to write an image into the node itself: Debian's sshd with dd, and RAUC.

Same machine, same kernel, same disk, same partition as the node's own. The pod is privileged and has the node's root below
/host, which is what lets it write a slot; its sshd is reached through a port that QEMU forwards from this machine's loopback.
"""

import pathlib
import shutil
import subprocess
import time

import harness  # puts the image's modules on the path

import archive
import debian

IMAGE = "stele.local/other-ways:1"
PORT = 2222
TARGET = "/dev/disk/by-partlabel/STELE-ROOT-B"
BUNDLE = "/host/var/tmp/bench.raucb"  # on the data partition, where it waits for `rauc install`
START = "/usr/bin/start-other-ways"

# With the libraries that they link, which apt would name too, along with much that a pod does not need.
PACKAGES = """
    openssh-server rauc dbus-daemon dash coreutils kmod mount squashfs-tools
    libacl1 libapparmor1 libatomic1 libattr1 libaudit1 libblkid1 libbrotli1 libc6 libcap-ng0 libcap2 libcom-err2 libcrypt1
    libkmod2 libcurl3t64-gnutls libdbus-1-3 libexpat1 libfdisk1 libffi8 libgcc-s1 libglib2.0-0t64 libgmp10 libgnutls30t64
    libgssapi-krb5-2 libhogweed6t64 libidn2-0 libjson-glib-1.0-0 libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 libldap2
    liblz4-1 liblzma5 liblzo2-2 libmount1 libnettle8t64 libnghttp2-14 libnghttp3-9 libngtcp2-16 libngtcp2-crypto-gnutls8
    libnl-3-200 libnl-genl-3-200 libp11-kit0 libpam0g libpcre2-8-0 libpsl5t64 librtmp1 libsasl2-2 libselinux1 libsmartcols1
    libsqlite3-0 libssh2-1t64 libssl3t64 libsystemd0 libtasn1-6 libunistring5 libuuid1 libwrap0 libwtmpdb0 libxxhash0 libzstd1
    zlib1g""".split()

# Each must find its libraries.
PROGRAMS = ["/usr/bin/rauc", "/usr/sbin/sshd", "/usr/lib/openssh/sshd-session", "/usr/lib/openssh/sshd-auth", "/usr/bin/dbus-daemon",
            "/usr/bin/dd", "/usr/bin/mount", "/usr/bin/mksquashfs",
            "/usr/bin/kmod"]

FILES = {
    START: f"""#!/usr/bin/dash
# A node that runs from its disk has no loop devices yet, and RAUC mounts its bundle by one.
insmod /host/usr/lib/modules/*/kernel/drivers/block/loop.ko* 2>&1
# Devices that appear later, such as device-mapper's, are seen only in the node's own /dev.
mount --rbind /host/dev /dev
mkdir -p /run/sshd /run/dbus /mnt /var/lib/rauc
dbus-daemon --config-file=/etc/bus.conf --nofork --nopidfile &
while [ ! -S /run/dbus/system_bus_socket ]; do sleep 0.1; done
rauc service --override-boot-slot=a &
exec /usr/sbin/sshd -D -e -p {PORT}
""",
    "/etc/passwd": "root:x:0:0:root:/root:/usr/bin/dash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n",
    "/etc/shadow": "root:*:20000:0:99999:7:::\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "/etc/ssh/sshd_config": "UsePAM no\nPermitRootLogin prohibit-password\nAuthorizedKeysFile /etc/ssh/user.pub\nUseDNS no\n",
    "/etc/bus.conf": """<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_requested_reply="true"
 send_type="method_return"/><allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/><allow send_type="signal"/></policy>
</busconfig>
""",
    # The slot that runs is named so that RAUC has one it does not write.
    "/etc/rauc/system.conf": """[system]
compatible=stele-bench
bootloader=noop
bundle-formats=verity
data-directory=/var/lib/rauc

[keyring]
path=/etc/rauc/bench.crt

[slot.root.0]
device=/dev/disk/by-partlabel/STELE-ROOT-A
type=raw
bootname=a

[slot.root.1]
device=/dev/disk/by-partlabel/STELE-ROOT-B
type=raw
bootname=b
""",
}

MANIFEST = """[update]
compatible=stele-bench
version=1

[bundle]
format=verity

[image.root]
filename=root.img
"""


class OtherWays:
    """The pod's image and, once a node runs it, its sshd."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.tree = folder / "tree"
        self.versions = {}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._make_tree()
        for name in ("host", "user"):
            debian.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", folder / name])
        self._put("/etc/ssh/ssh_host_ed25519_key", (folder / "host").read_bytes(), 0o600)
        self._put("/etc/ssh/user.pub", (folder / "user.pub").read_bytes())
        debian.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                    "-subj", "/CN=stele bench", "-keyout", folder / "bench.key", "-out", folder / "bench.crt"])
        self._put("/etc/rauc/bench.crt", (folder / "bench.crt").read_bytes())

    def archive(self) -> pathlib.Path:
        archive.write_tree(self.folder / "pod.tar", IMAGE, self.tree, ["/usr/bin/dash", START])
        return self.folder / "pod.tar"

    def pod(self) -> dict:
        return harness.static_pod("other-ways", image=IMAGE, host_root=True)

    def bundle(self, payload: pathlib.Path) -> pathlib.Path:
        """A signed RAUC bundle of the payload, made by the pod's own rauc."""
        work = self.tree / "work"
        (work / "content").mkdir(parents=True)
        try:
            shutil.copyfile(payload, work / "content/root.img")
            (work / "content/manifest.raucm").write_text(MANIFEST)
            for name in ("bench.crt", "bench.key"):
                shutil.copyfile(self.folder / name, work / name)
            self._inside("rauc bundle --cert=/work/bench.crt --key=/work/bench.key --keyring=/work/bench.crt /work/content /work/made.raucb")
            return (work / "made.raucb").rename(self.folder / f"{payload.stem}.raucb")
        finally:
            shutil.rmtree(work)

    # On a node.

    def use(self, node) -> None:
        """Waits until the node's pod lets us in."""
        self._port = node.machine.forwarded[PORT]
        node.import_image(self.archive(), timeout=300)
        end = time.monotonic() + 240
        while self.run("true", check=False) != 0:
            if time.monotonic() > end:
                raise harness.Failed(f"the pod's sshd does not let us in\n{self._error}")
            time.sleep(1)

    def command(self, *words) -> list[str]:
        return ["ssh", "-F", "none", "-p", str(self._port), "-i", str(self.folder / "user"), "-o", "StrictHostKeyChecking=no",
                "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "root@127.0.0.1", *words]

    def run(self, command: str, stdin: pathlib.Path | None = None, check=True, timeout=300) -> int:
        with open(stdin or "/dev/null", "rb") as opened:
            done = subprocess.run(self.command(command), stdin=opened, capture_output=True, text=True, timeout=timeout)
        self._error = done.stderr + done.stdout
        if check and done.returncode != 0:
            raise harness.Failed(f"in the pod: {command}: exit {done.returncode}\n{self._error}")
        return done.returncode

    # Making the tree.

    def _make_tree(self) -> None:
        release = debian.trixie()
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.tree / "usr" / name).mkdir(parents=True)
            (self.tree / name).symlink_to(f"usr/{name}")
        for name in ("dev", "proc", "sys", "run", "tmp", "root", "host", "var/lib"):
            (self.tree / name).mkdir(parents=True)
        for package in release.fetch(PACKAGES).values():
            self.versions[package.name] = package.version
            debian.run(["cp", "-a", f"{release.unpack(package)}/.", self.tree])
        for name in ("share/doc", "share/man", "share/locale", "share/lintian", "lib/x86_64-linux-gnu/gconv"):
            shutil.rmtree(self.tree / "usr" / name, ignore_errors=True)
        for path, text in FILES.items():
            self._put(path, text.encode())
        for program in PROGRAMS:
            self._inside(f"/lib64/ld-linux-x86-64.so.2 --list {program}")
        meter = self.tree / "usr/bin/node-meter"
        debian.run(["cc", "-static", "-Os", "-s", "-o", meter, pathlib.Path(__file__).with_name("node_meter.c")])

    def _inside(self, command: str) -> None:
        """Runs a program of the tree in it, here. In namespaces of its own, so nobody needs to be root."""
        debian.run(["unshare", "--map-root-user", "--mount", "sh", "-c",
                    f"for d in dev proc; do mount --rbind /$d '{self.tree}'/$d; done; exec chroot '{self.tree}' {command}"])

    def _put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        file = self.tree / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_bytes(data)
        file.chmod(mode)
