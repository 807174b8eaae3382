"""One virtual machine that boots the built image in QEMU: what ./dev run and the VM tests start.

A machine lives in a folder of its own: disk, firmware variables, serial log, QMP socket, pid. It is ended by that pid,
and QEMU itself ends after `lifetime` seconds whatever happens to whoever started it.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import qemu


@dataclasses.dataclass
class Options:
    config: pathlib.Path  # the node's configuration, given by fw_cfg
    firmware: str = "none"  # none: qemu -kernel; ovmf: OVMF and systemd-boot from stele.raw
    accelerator: str | None = None
    memory: int = 1536  # MiB
    processors: int = 2
    port: int = 0  # on 127.0.0.1, forwarded to the node's API; 0: a free one
    disk_size: int = 4 << 30  # of the empty disk that a machine without firmware gets
    append: str = ""  # more for the kernel's command line, without firmware only
    lifetime: int = 0  # seconds; 0: until stopped
    watchdog: bool = True


class Machine:
    def __init__(self, folder: pathlib.Path, image: pathlib.Path, options: Options):
        self.folder, self.image, self.options = folder.absolute(), image.absolute(), options
        self.serial = self.folder / "serial.log"
        self.port = options.port or free_port()
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Starts QEMU; the disk and firmware variables of an earlier start are kept, as a real machine's are."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self._command()
        (self.folder / "command").write_text("\n".join(map(str, command)) + "\n")
        log = open(self.folder / "qemu.log", "ab")
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        (self.folder / "pid").write_text(f"{self._process.pid}\n")

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_end(self, seconds: float) -> bool:
        """Whether QEMU ended by itself in time: the guest powered off, or rebooted under -no-reboot."""
        try:
            self._process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def stop(self) -> None:
        """Ends QEMU at once, as pulling the plug does."""
        if self._process is not None:
            if self._process.poll() is None:
                # The group: under a lifetime the process is `timeout`, and QEMU its child.
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        (self.folder / "pid").unlink(missing_ok=True)

    def qmp(self, command: str, **arguments) -> dict:
        """Asks QEMU's monitor; https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.folder / "qmp.sock"))
            stream = connection.makefile("rw")
            stream.readline()  # its greeting
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                while "event" in (answer := json.loads(stream.readline())):
                    pass
            return answer

    @contextlib.contextmanager
    def events(self):
        """Yields wait(name, seconds) → seconds since now until QEMU told of that event, such as RESET or SHUTDOWN."""
        began = time.monotonic()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "qmp.sock"))
            stream = connection.makefile("rw")
            stream.write(json.dumps({"execute": "qmp_capabilities"}) + "\n")
            stream.flush()

            def wait(name: str, seconds: float) -> float:
                connection.settimeout(seconds)
                for line in stream:
                    if json.loads(line).get("event") == name:
                        break
                return time.monotonic() - began

            yield wait

    def disk(self) -> pathlib.Path:
        return self.folder / "disk.raw"

    def _command(self) -> list:
        found, options = qemu.find(), self.options
        accelerator = qemu.accelerator(options.accelerator)
        # The disk is virtio: a SATA controller with nothing behind it costs a boot three modules and the probing of six links.
        command = [*found.command, "-name", "stele", "-machine", "q35,sata=off", "-accel", "kvm" if accelerator == "kvm" else "tcg,thread=multi",
                   "-cpu", "max", "-smp", options.processors, "-m", options.memory, "-display", "none", "-nodefaults",
                   "-serial", f"file:{self.serial}", "-qmp", f"unix:{self.folder / 'qmp.sock'},server=on,wait=off",
                   "-netdev", f"user,id=net0,hostfwd=tcp:127.0.0.1:{self.port}-:50000", "-device", "virtio-net-pci,netdev=net0,romfile=",
                   "-device", "virtio-rng-pci", "-fw_cfg", f"name=opt/stele/config,file={options.config}"]
        if options.watchdog:
            command += ["-device", "i6300esb", "-action", "watchdog=reset"]
        command += self._firmware(found) if options.firmware == "ovmf" else self._kernel()
        command += ["-drive", f"file={self.disk()},if=none,id=disk0,format=raw,cache=writeback,discard=unmap",
                    "-device", "virtio-blk-pci,drive=disk0,bootindex=1"]
        if options.lifetime:
            command = ["timeout", "--kill-after=5", str(options.lifetime), *command]
        return [str(word) for word in command]

    def _firmware(self, found: qemu.Qemu) -> list:
        if not self.disk().exists():
            subprocess.run(["cp", "--sparse=always", self.image / "stele.raw", self.disk()], check=True)
        variables = self.folder / "ovmf-vars.fd"
        if not variables.exists():
            shutil.copyfile(found.ovmf_vars, variables)
        return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={found.ovmf_code}",
                "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]

    def _kernel(self) -> list:
        if not self.disk().exists():
            with open(self.disk(), "wb") as disk:
                disk.truncate(self.options.disk_size)
        command_line = (self.image / "cmdline").read_text().strip()
        return ["-kernel", self.image / "vmlinuz", "-initrd", self.image / "initramfs.cpio",
                "-append", f"{command_line} {self.options.append}".strip()]


def stop_by_pid_file(folder: pathlib.Path) -> bool:
    """Ends the machine that an earlier command started in `folder`; False when there is none."""
    try:
        pid = int((folder / "pid").read_text())
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        (folder / "pid").unlink(missing_ok=True)
        return False
    ours = f"unix:{folder.absolute() / 'qmp.sock'},".encode()  # the pid may be somebody else's by now
    if not any(word.startswith(ours) for word in words):
        (folder / "pid").unlink(missing_ok=True)
        return False
    os.kill(pid, signal.SIGTERM)
    for _ in range(50):
        if not pathlib.Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.1)
    else:
        os.kill(pid, signal.SIGKILL)
    (folder / "pid").unlink(missing_ok=True)
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
