"""A reset, cut at any of its writes: once it was promised the next boot finds the wish and can carry it out, until all of it is
done; what is to be kept is kept throughout. The wish is read, and carried out again, by the classes that machined uses.
"""

import contextlib
import dataclasses
import pathlib
import shutil
import subprocess
import time

import bulk
import debian
import explore
import ext4_state
import lab
import lab_disk
import scenarios
import state_file
import states
import write_log

STATE = ext4_state.LAB_STATE
DATA = ext4_state.Region(lab_disk.DATA_AT, lab_disk.DATA_SIZE)
KEPT, SECRET = b"a log that must stay\n" * 1000, b"what must go\n" * 1000
NAMES = ("reset", "reset-keeping")


def record(folder: pathlib.Path, name: str) -> "Recording":
    layout = dataclasses.replace(scenarios.layout(A="stele-2.efi"), state_files=(("config/secret", SECRET), ("upgrade/a.manifest", explore.payload()["A.header"])),
                                 data_files=(("lib/etcd/wal", KEPT), ("lib/secret", SECRET)))
    made = explore.record(folder, scenarios.Scenario(name, name, layout, (scenarios.phase("begin", "A", "A"),)))
    return Recording(made.scenario, made.base, made.log, made.seconds)


class Recording(explore.Recording):
    def epochs(self) -> list[write_log.Epoch]:
        content = bulk.Ranges(((STATE.start, STATE.start + STATE.size), (DATA.start, DATA.start + DATA.size)))
        return [bulk.joined(epoch, content, bulk.Ranges(())) for epoch in super().epochs()]


@dataclasses.dataclass
class Report(explore.Report):
    wishes: int = 0  # the next boot finds the wish
    done: int = 0  # it is gone, and all is done
    before: int = 0  # it is not there yet
    carried_out: int = 0  # of the wishes that were carried out again on what a cut left
    carried_out_well: int = 0


def explore_reset(recording: Recording, budget: states.Budget, work: pathlib.Path, again: int, most: int = 0) -> Report:
    """`again`: how many of the states with a wish have it carried out."""
    began = time.monotonic()
    keeping = recording.scenario.name == "reset-keeping"
    epochs = recording.epochs()
    marks = [text for epoch in epochs for _, text in epoch.marks]
    space = states.Space(recording.base, epochs, budget)
    enumerator = states.Enumerator(space, budget)
    file = state_file.StateFile(space, recording.base, work / "disk")
    report = Report(recording.scenario.name, sum(len(epoch.writes) for epoch in epochs), len(epochs) - 1, record_seconds=recording.seconds)
    hashes, wishes = set(), []
    for state in explore.sample(enumerator.states(), most, budget.seed):
        hashes.add(state.hash)
        done, begun = marks[:state.lowest], marks[:state.highest]
        answer = lab.check("wish", file.show(state))[0]
        problem = ""
        if answer == "wish" and "wish" in begun:
            report.wishes += 1
            wishes.append(state)
        elif answer == "none" and "wished" not in done:
            report.before += 1
        elif answer == "none" and "reset" in begun:
            report.done += 1
            problem = left(file.path, keeping, work)
        else:
            problem = f"the wish: {answer}"
        if "reset-done" in done and answer != "none":
            problem = f"it said that it is done: {answer}"
        _tell(report, problem, state)
    for state in explore.sample(wishes, again, budget.seed) if again else []:
        report.carried_out += 1
        shutil.rmtree(work / "root", ignore_errors=True)
        with as_disk(file.show(state)) as device:
            answer = lab.check("reset", device, work / "root")[0]
        problem = f"carried out again: {answer}" if answer != "ok" else left(file.path, keeping, work)
        report.carried_out_well += not problem
        _tell(report, problem, state)
        file.close()  # it is another disk now
        file = state_file.StateFile(space, recording.base, work / "disk")
    file.close()
    report.made, report.distinct, report.seconds = enumerator.made, len(hashes), time.monotonic() - began
    return report


def _tell(report: Report, problem: str, state: states.State) -> None:
    report.lost += bool(problem)
    if problem and len(report.examples) < explore.KEPT_EXAMPLES:
        report.examples.append(f"{problem} ({state.cut})")


def left(disk: pathlib.Path, keeping: bool, work: pathlib.Path) -> str:
    """What is wrong with a disk whose reset is done; "" when nothing is."""
    problems = []
    with mounted(disk, DATA, work / "data") as data:
        kept = (data / "lib/etcd/wal").read_bytes() if (data / "lib/etcd/wal").exists() else None
        if (data / "lib/secret").exists():
            problems.append("STELE-DATA has what must go")
        if keeping and kept != KEPT:
            problems.append("what was to be kept is not whole")
    with mounted(disk, STATE, work / "state") as state:
        if keeping != (state / "config/secret").exists():
            problems.append("STELE-STATE was " + ("wiped" if keeping else "not wiped"))
        if (manifests := ext4_state.kept(state).get("manifest")) != ["a 0.1.0"]:
            problems.append(f"of the slots is known {manifests}")
    return "; ".join(problems)


@contextlib.contextmanager
def as_disk(file: pathlib.Path):
    """A device with its partitions, which are checked before they are mounted; a file's are not."""
    device = debian.run(["/usr/sbin/losetup", "-f", "-P", "--show", file]).strip()
    try:
        yield device
    finally:
        debian.run(["/usr/sbin/losetup", "-d", device])


@contextlib.contextmanager
def mounted(disk: pathlib.Path, region: ext4_state.Region, folder: pathlib.Path):
    """A partition inside a disk file, as a copy that a check may mend."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder.with_suffix(".copy")
    subprocess.run(["dd", f"if={disk}", f"of={copy}", "bs=1M", f"skip={region.start >> 20}", f"count={region.size >> 20}", "conv=sparse", "status=none"], check=True)
    ext4_state.heal(copy)
    debian.run(["mount", "-t", "ext4", "-o", "loop,ro,nosuid,nodev,noexec", copy, folder])
    try:
        yield folder
    finally:
        debian.run(["umount", folder])
        copy.unlink()
