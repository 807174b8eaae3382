"""One virtual machine that boots the built image in QEMU: what ./dev run and the VM tests start.

A machine lives in a folder of its own: disk, firmware variables, serial log, QMP socket, pid. It is ended by that pid,
and QEMU itself ends after `lifetime` seconds whatever happens to whoever started it.
"""

import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import time

import debian
import devices
import qemu
import qmp

MEDIA = ("kernel", "disk", "iso", "pxe", "http")


@dataclasses.dataclass
class Options:
    config: pathlib.Path | None  # the node's configuration, given by fw_cfg
    firmware: str = "none"  # none: qemu -kernel; ovmf
    # kernel: qemu -kernel; disk: stele.raw; iso: stele.iso; pxe: stele-medium.efi by TFTP; http: what a server on `link` offers.
    # None: kernel, with ovmf: disk. Those but disk begin with an empty system disk. Firmware tries a medium after a disk that
    # boots, unless medium_first.
    medium: str | None = None
    link: int | None = None  # an open tap device, of another network card, which firmware may boot from; the caller closes it
    medium_first: bool = False
    accelerator: str | None = None
    memory: int = 1536  # MiB
    processors: int = 2
    port: int = 0  # on 127.0.0.1, forwarded to the node's API; 0: a free one
    forwards: tuple[int, ...] = ()  # more ports of the guest, each to a free one here: Machine.forwarded
    bus: str = "virtio"  # of the disks: virtio, nvme, scsi, sata
    sector: int = 512  # bytes of a sector, of all disks
    disk_size: int = 4 << 30  # of the system disk; a disk image that is smaller grows
    disk_image: pathlib.Path | None = None  # raw or qcow2, instead of stele.raw
    disk_form: str = "raw"  # or qcow2: an overlay of the disk image, `disk_size` bytes of it, which may not be less than the image's
    second_disk: pathlib.Path | None = None  # raw
    cdrom: pathlib.Path | None = None  # besides the medium
    write_log: pathlib.Path | None = None  # every write to the system disk, on virtio, begun anew at each start; see devices.block
    append: str = ""  # more for the kernel's command line, with medium kernel only
    lifetime: int = 0  # seconds; 0: until stopped
    watchdog: bool = True
    variables_read_only: bool = False  # the firmware's, as flash that is write-protected

    def boots_from(self) -> str:
        medium = self.medium or ("disk" if self.firmware == "ovmf" else "kernel")
        if medium not in MEDIA:
            raise debian.Error(f"no medium {medium}: one of {', '.join(MEDIA)}")
        return medium


class Machine:
    def __init__(self, folder: pathlib.Path, image: pathlib.Path, options: Options):
        self.folder, self.image, self.options = folder.absolute(), image.absolute(), options
        self.serial = self.folder / "serial.log"
        self.port = options.port or free_port()
        self.forwarded = {port: free_port() for port in options.forwards}
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Starts QEMU; the disk and firmware variables of an earlier start are kept, as a real machine's are."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self._command()
        (self.folder / "command").write_text("\n".join(map(str, command)) + "\n")
        log = open(self.folder / "qemu.log", "ab")
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                         pass_fds=[] if self.options.link is None else [self.options.link])
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
        """Asks QEMU's monitor."""
        with qmp.connected(self.folder / "qmp.sock") as (_, stream):
            return qmp.ask(stream, command, **arguments)

    def events(self):
        """A context that yields wait(name, seconds) → seconds until QEMU told of that event, such as RESET or SHUTDOWN."""
        return qmp.events(self.folder / "qmp.sock")

    def disk(self) -> pathlib.Path:
        return self.folder / f"disk.{self.options.disk_form}"

    def variables(self) -> pathlib.Path:
        """The firmware's; a file that is there before the first start is what the firmware begins with."""
        return self.folder / "ovmf-vars.fd"

    def _command(self) -> list:
        found, options = qemu.find(), self.options
        medium = options.boots_from()
        accelerator = qemu.accelerator(options.accelerator)
        # A SATA controller with nothing behind it costs a boot three modules and the probing of six links.
        command = [*found.command, "-name", "stele", "-machine", f"q35,sata={'on' if options.bus == 'sata' else 'off'}",
                   "-accel", "kvm" if accelerator == "kvm" else "tcg,thread=multi",
                   "-cpu", qemu.processor(accelerator), "-smp", options.processors, "-m", options.memory, "-display", "none", "-nodefaults",
                   "-serial", f"file:{self.serial}", "-qmp", f"unix:{self.folder / 'qmp.sock'},server=on,wait=off",
                   "-device", "virtio-rng-pci"]
        if options.config:
            command += ["-fw_cfg", f"name=opt/stele/config,file={options.config}"]
        if options.watchdog:
            command += ["-device", "i6300esb", "-action", "watchdog=reset"]
        command += self._kernel() if medium == "kernel" else devices.firmware(found, self.variables(), options.variables_read_only)
        command += [*self._network(medium), *self._disks(medium)]
        if options.lifetime:
            command = ["timeout", "--kill-after=5", str(options.lifetime), *command]
        return [str(word) for word in command]

    def _network(self, medium: str) -> list:
        ports = {50000: self.port} | self.forwarded
        net = "user,id=net0" + "".join(f",hostfwd=tcp:127.0.0.1:{ours}-:{theirs}" for theirs, ours in ports.items())
        device = "virtio-net-pci,netdev=net0,romfile="
        if medium == "pxe":
            net += f",tftp={self.image / 'pxe'},bootfile=stele-medium.efi"
            device += ",bootindex=0" if self.options.medium_first else ""
        words = []
        if self.options.link is not None:  # the first card, since firmware waits a minute for each that nobody answers
            words += ["-netdev", f"tap,id=link,fd={self.options.link}",
                      "-device", "virtio-net-pci,netdev=link,romfile=" + (",bootindex=0" if self.options.medium_first else "")]
        if medium == "http":  # which comes after PXE on all cards
            words += [word for version in (4, 6) for word in ("-fw_cfg", f"name=opt/org.tianocore/IPv{version}PXESupport,string=n")]
        return [*words, "-netdev", net, "-device", device]

    def _disks(self, medium: str) -> list:
        options = self.options
        source = (options.disk_image or self.image / "stele.raw") if medium == "disk" else None
        devices.make_disk(self.disk(), source, options.disk_size)
        discs = [(file, index) for file, index in ((self.image / "stele.iso" if medium == "iso" else None, 0 if options.medium_first else None),
                                                   (options.cdrom, None)) if file]
        words = devices.controllers(options.bus, bool(discs))
        words += devices.block("disk0", self.disk(), write_log=options.write_log, sector=options.sector, form=options.disk_form)
        words += devices.disk("disk0", options.bus, options.sector, recorded=options.write_log is not None)
        if options.second_disk:
            words += devices.block("disk1", options.second_disk) + devices.disk("disk1", options.bus, options.sector)
        for number, (file, index) in enumerate(discs):
            words += devices.block(f"cd{number}", file, read_only=True) + devices.cdrom(f"cd{number}", options.bus, index)
        return words

    def _kernel(self) -> list:
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
