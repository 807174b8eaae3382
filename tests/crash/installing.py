"""An installation, cut at any of its writes: what is on the disk then is no system, and a medium can do it again, or it is all of
Stele, and boots. The classes are the installer's own, over the image of a medium, with mkfs.fat and mke2fs.
"""

import dataclasses
import pathlib
import subprocess
import time

import boot_model
import bulk
import explore
import ext4_state
import firmware
import lab
import lab_disk
import scenarios
import signing
import state_file
import states
import write_log
from lab_disk import LOADER, MIB

DISK_SIZE = 3400 * MIB
MARKS = (1600 * MIB, 1600 * MIB + 512)  # lab_machine.cc: in the second slot, whose ends alone are written
ESP, SLOT_A, SLOT_B, STATE, DATA = ((1, 512), (513, 1024), (1537, 1024), (2561, 256), (2817, 582))  # MiB: start, size
REGION = ext4_state.Region(STATE[0] * MIB, STATE[1] * MIB)
INSTALLED_LOADER = f"EFI/systemd/boot-{explore.sha256(firmware.loader())[:8]}.efi"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    lab: str
    before: scenarios.Layout | None  # what the disk held; None: nothing


def cases() -> list[Case]:
    old = dataclasses.replace(scenarios.layout(O="stele-7.efi"), size=DISK_SIZE)
    return [Case("install", "install", None), Case("install-wiping", "install-wiping", old)]


@dataclasses.dataclass
class Recording(explore.Recording):
    case: Case

    def epochs(self) -> list[write_log.Epoch]:
        """Contents are collapsed (bulk.py), save the ESP's tables and folders and all that lies between the partitions."""
        content = bulk.Ranges(tuple((start * MIB, (start + size) * MIB) for start, size in (ESP, SLOT_A, SLOT_B, STATE, DATA)))
        found = write_log.epochs(write_log.read(self.log, marks=MARKS))
        return [bulk.joined(epoch, content, bulk.Ranges(())) for epoch in found]


def payload() -> dict[str, bytes]:
    file, _ = scenarios.image("A").file("0.1.0", firmware.loader())
    whole = len(file) - lab_disk.ROOT_SIZE
    return {"medium.head": file[:whole], "medium.root": file[whole:], "keys/key.pem": signing.public_half(signing.development_key()).pem}


def record(folder: pathlib.Path, case: Case) -> Recording:
    folder.mkdir(parents=True, exist_ok=True)
    base, disk, log = folder / "base.raw", folder / "disk.raw", folder / "log"
    if case.before:
        lab_disk.build(base, case.before, firmware.loader())
    else:
        base.write_bytes(b"")
        with open(base, "r+b") as opened:
            opened.truncate(DISK_SIZE)
    subprocess.run(["cp", "--sparse=always", base, disk], check=True)
    began = time.monotonic()
    lab.record(folder, case.lab, disk, payload(), log)
    disk.unlink()
    return Recording(scenario(case), base, log, time.monotonic() - began, case)


def scenario(case: Case) -> scenarios.Scenario:
    """For whoever boots a state: the boot entries that the old disk had, and those of the new one."""
    before = (LOADER,) * scenarios.TRIES_AND_ONE
    return scenarios.Scenario(case.name, case.lab, case.before or scenarios.Layout(()), (), (before, (INSTALLED_LOADER,) * scenarios.TRIES_AND_ONE))


@dataclasses.dataclass
class Report(explore.Report):
    no_table: int = 0  # a medium can do it again
    untouched: int = 0  # what the disk held before is whole
    installed: int = 0
    refused: int = 0  # neither a system nor a disk that may be installed onto


def explore_install(recording: Recording, budget: states.Budget, work: pathlib.Path, keep: int = 0) -> tuple[Report, list[explore.Judged]]:
    began = time.monotonic()
    epochs = recording.epochs()
    marks = [text for epoch in epochs for _, text in epoch.marks]
    space = states.Space(recording.base, epochs, budget)
    model = boot_model.Model(explore.known(), space.size)
    enumerator = states.Enumerator(space, budget)
    file = state_file.StateFile(space, recording.base, work / "disk")
    pieces = ext4_state.pieces(recording.base, REGION)
    report = Report(recording.case.name, sum(len(epoch.writes) for epoch in epochs), len(epochs) - 1, record_seconds=recording.seconds)
    hashes, judged, state_seen = set(), [], {}
    for state in enumerator.states():
        if state.hash in hashes and state.lowest < len(marks):
            continue  # equal bytes; only what is promised in the end could differ
        hashes.add(state.hash)
        old = bool(recording.case.before)
        verdict = model.judge(state, list(recording.scenario.loaders[1]))
        if verdict.image != "A" and old:
            verdict = model.judge(state, list(recording.scenario.loaders[0]))
        answer = lab.check("plan", file.show(state), *(["wipe"] if old else []))
        problem = _judge(state, verdict, answer, old, "installed" in marks[:state.lowest], report)
        if not problem and verdict.image == "A":
            identity = state.identity(REGION.start, REGION.size)
            if identity not in state_seen:
                state_seen[identity] = state_fault(state, pieces, work)
            problem = state_seen[identity]
        if problem and len(report.examples) < explore.KEPT_EXAMPLES:
            report.examples.append(f"{problem} ({state.cut})")
        judged.append(explore.Judged(state, recording.scenario.loaders[1 if verdict.image == "A" else 0], verdict))
        report.runs[verdict.image or "nothing"] += 1
    file.close()
    report.made, report.distinct, report.seconds = enumerator.made, len(hashes), time.monotonic() - began
    chosen = explore.sample([each for each in judged if each.verdict.image], keep - keep // 3, budget.seed) if keep else []
    return report, chosen + (explore.sample([each for each in judged if not each.verdict.image], keep // 3, budget.seed) if keep else [])


def _judge(state: states.State, verdict: boot_model.Verdict, answer: list[str], old: bool, promised: bool, report: Report) -> str:
    installed, plan = answer[0] == "installed", answer[1]
    if verdict.image == "A" and not verdict.counted and installed:
        report.installed += 1
        return ""
    if promised:
        report.unbootable += 1
        return f"it said that it is done, and {verdict.image or 'nothing'} runs: {verdict.why}"
    if verdict.image == "O" and old and plan == "ok":
        report.untouched += 1
        return ""
    if verdict.image is None and not installed and plan == "ok":
        report.no_table += 1
        return ""
    if verdict.image is None:
        report.refused += 1
        report.unbootable += 1
        return f"no system ({verdict.why}), and a medium says: {answer}"
    report.wrong += 1
    return f"{verdict.image} runs, and a medium says: {answer}"


def state_fault(state: states.State, pieces: list, work: pathlib.Path) -> str:
    with ext4_state.mounted(state, pieces, work, REGION) as folder:
        found = ext4_state.kept(folder)
        installed = (folder / "install").exists()
    right = not found.get("damaged") and len(found.get("config", [])) == 1 and found.get("manifest") == ["a 0.1.0"] and installed
    return "" if right else f"STELE-STATE holds {found}"


def again(judged: explore.Judged, recording: Recording, folder: pathlib.Path) -> str:
    """The medium does it again on what the cut left; what is wrong afterwards, "" when it ended as without a cut."""
    folder.mkdir(parents=True, exist_ok=True)
    disk, log = folder / "state.raw", folder / "log"
    explore.write_state(judged.state, recording.base, disk)
    lab.record(folder, recording.case.lab, disk, payload(), log)
    after = states.Space(disk, write_log.epochs([]), states.Budget(0, 0))
    state = next(states.Enumerator(after, states.Budget(0, 0)).states())
    verdict = boot_model.Model(explore.known(), after.size).judge(state, list(recording.scenario.loaders[1]))
    answer = lab.check("plan", disk)[0]  # the first line: whether it is installed
    problem = state_fault(state, ext4_state.pieces(disk, REGION), folder)
    disk.unlink()
    if verdict.image != "A" or verdict.counted or answer != "installed" or problem:
        return f"done again it ended with {verdict.image} {verdict.why}, {answer} {problem} ({judged.state.cut})"
    return ""
