"""States of the recorded life, booted: which slot does the real image mount its root from, and does an upgrade go on from there?"""

import pathlib
import re
import subprocess
import time

import explore
import firmware
import life
import qemu
import real_boots
import state_file
import states

# Written by init's first stage once the root's hash was found in a slot.
ROOT = re.compile(r"root: \S+ \(STELE-ROOT-([AB])\)")
LOUDER = "io.systemd.stub.kernel-cmdline-extra=loglevel=6"  # else such a line stays in the kernel's log
MOST_SECONDS = 90


def compare(judged: list[explore.Judged], recording: life.Life, folder: pathlib.Path, outcome: real_boots.Outcome) -> None:
    if not judged:
        return
    file = state_file.StateFile(judged[0].state.space, recording.base, folder / "disk.raw")
    for each in judged:
        began = time.monotonic()
        ran = boot(folder, file.show(each.state), list(each.loaders))
        outcome.booted += 1
        outcome.seconds += time.monotonic() - began
        if ran == each.verdict.image:
            outcome.agreed += 1
        else:
            outcome.differences.append(f"life: {ran} ran, the model says {each.verdict.image} {each.verdict.why} ({each.state.cut})")
    file.close()


def boot(folder: pathlib.Path, disk: pathlib.Path, loaders: list[str]) -> str | None:
    """The image whose root is mounted: in this recording A stays in slot a, and B in slot b. The disk is left as it was."""
    found, serial, nvram = qemu.find(), folder / "serial.log", folder / "vars.fd"
    nvram.write_bytes(firmware.variables(found.ovmf_vars.read_bytes(), loaders))
    serial.unlink(missing_ok=True)
    command = [*found.command, "-machine", "q35,sata=off", "-accel", qemu.accelerator(), "-cpu", qemu.processor(qemu.accelerator()), "-m", "1024", "-display", "none",
               "-nodefaults", "-net", "none", "-serial", f"file:{serial}", "-snapshot",
               "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={found.ovmf_code}",
               "-drive", f"if=pflash,format=raw,unit=1,file={nvram}", "-drive", f"if=none,id=disk0,format=raw,file={disk}",
               "-device", "virtio-blk-pci,drive=disk0,bootindex=1", "-smbios", f"type=11,value={LOUDER}"]
    running = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + MOST_SECONDS
    try:
        while time.monotonic() < end and running.poll() is None:
            time.sleep(0.3)
            said = serial.read_text(errors="replace") if serial.exists() else ""
            if told := ROOT.search(said):
                return told[1]
        return None
    finally:
        running.kill()
        running.wait()


def carry_on(recording: life.Life, folder: pathlib.Path, budget: states.Budget, most: int) -> list[str]:
    """Nodes on states from the middle of staging: each boots and takes the upgrade again. "" for each that ends as it should."""
    space = states.Space(recording.base, recording.epochs(), budget)
    marks = [text for epoch in space.epochs for _, text in epoch.marks]
    first, last = marks.index("stage") + 1, marks.index("activate")
    middle = [state for state in states.Enumerator(space, budget).states() if first <= state.lowest and state.highest <= last]
    return [_again(state, recording, folder) for state in explore.sample(middle, most, budget.seed)] if most else []


def _again(state: states.State, recording: life.Life, folder: pathlib.Path) -> str:
    node = life.harness.Node("crash-life-again", firmware="ovmf", disk_size=life.DISK_SIZE, lifetime=900)
    explore.write_state(state, recording.base, node.machine.disk())
    node.machine.start()
    try:
        node.wait_api(240)
        node.wait_service("kubelet", 300)
        node.osctl("upgrade", "--image", recording.images["B"], "--yes", timeout=600)
        slots = {name: slot["body"] for name, slot in node.get("slots").items()}
        good = slots["b"].get("running") and slots["b"].get("state") == slots["a"].get("state") == "SLOT_STATE_GOOD"
        return "" if good else f"ended with {slots} ({state.cut})"
    except life.harness.Failed as error:
        return f"{str(error)[:600]} ({state.cut})"
    finally:
        node.machine.stop()
        node.machine.disk().unlink(missing_ok=True)
