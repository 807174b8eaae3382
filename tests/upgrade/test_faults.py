"""Every step of an upgrade under kill, EIO, ENOSPC and a hang, at the system calls it really makes.

A run without faults is traced first; the cases follow from it and from the table of phases: in each phase, of each system
call that touches the node's files, the first, the last, and for a kill the middle. After a fault nothing that a boot loader takes is
half of something, the running slot and its UKI are as they were, and the same steps, run again, end as without it.
"""

import collections
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
DRIVER = TOP / "build/release/bin/stage_driver"
CALLS = ("openat,pread64,pwrite64,write,read,fsync,syncfs,renameat2,rename,fallocate,ftruncate,unlinkat,unlink,mkdir,"
         "getdents64,fchmod,newfstatat,lseek")
# The fault's name, and what strace does to the call.
FAULTS = {
    "kill": "signal=SIGKILL",
    "EIO": "error=EIO",
    "ENOSPC": "error=ENOSPC",
    "hang": "delay_enter=600000000",  # the watchdog of the test kills it
}
MAY_HANG = {"pwrite64", "pread64", "fsync", "syncfs", "renameat2"}
MAY_BE_FULL = {"pwrite64", "write", "fsync", "fallocate", "mkdir", "renameat2", "rename", "openat"}
MOST_SECONDS = 60  # of a run, on whatever machine
# What is done before a phase's run, and what a run of its own does: (steps before, steps of the run).
RUNS = {
    "stage": ([], ["stage"]),
    "activate": (["stage"], ["activate"]),
    "bless": (["stage", "activate", "boot"], ["bless"]),
    "fail": (["stage", "activate", "boot"], ["fail"]),
    "back": (["stage", "activate", "boot", "bless"], ["back"]),
    "drop": (["stage"], ["drop"]),
}

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (image/packages-host)")


def driver(*arguments, check=True):
    result = subprocess.run([DRIVER, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert not check or result.returncode == 0, f"stage_driver {arguments}: {result.stderr}"
    return result


def step(folder, name):
    if name == "boot":  # the loader counts
        uki = folder / "esp/EFI/Linux"
        (uki / "stele-2+3.efi").rename(uki / "stele-2+2-1.efi")
    else:
        driver("run", folder, name)


def state(folder):
    return sorted(driver("state", folder).stdout.splitlines())


class Node:
    """A node as it is before a run, what the run traces, and how it ends."""

    def __init__(self, base, run):
        before, self.steps = RUNS[run]
        self.name, self.base = run, base
        self.folder = base / "node"
        shutil.copytree(TEMPLATE["folder"], self.folder)
        for name in before:
            step(self.folder, name)
        self.before = base / "before"
        shutil.copytree(self.folder, self.before)
        self.calls = self.trace()
        self.after = state(self.folder)

    def fresh(self):
        shutil.rmtree(self.folder)
        shutil.copytree(self.before, self.folder)

    def strace(self, *options):
        return ["strace", "-f", "-qq", "-y", "-e", f"trace={CALLS}", *options, str(DRIVER), "run", str(self.folder), *self.steps]

    def trace(self):
        """{(phase, call): [its number among all calls of that name, …]} of those that touch the node."""
        log = self.base / "trace"
        subprocess.run(self.strace("-o", log), check=True, capture_output=True, timeout=60)
        phase, numbers, found = None, collections.Counter(), collections.defaultdict(list)
        for line in log.read_text(errors="replace").splitlines():
            call = re.match(r"(?:\d+ +)?([a-z0-9_]+)\(", line)
            if not call:
                continue
            numbers[call[1]] += 1
            told = re.search(r'write\(2.*"phase (\w+)', line)
            if told:
                phase = told[1]
            elif phase and str(self.folder) in line:
                found[phase, call[1]].append(numbers[call[1]])
        return found


TEMPLATE = {}
NODES = {}


@pytest.fixture(scope="module")
def node_of(tmp_path_factory):
    if not TEMPLATE:
        TEMPLATE["folder"] = tmp_path_factory.mktemp("template") / "node"
        driver("make", TEMPLATE["folder"])

    def make(run):
        if run not in NODES:
            NODES[run] = Node(tmp_path_factory.mktemp(run), run)
        return NODES[run]

    return make


def phases():
    if not DRIVER.exists():
        return []
    return [line.split() for line in driver("phases").stdout.splitlines()]


def spread(numbers):
    return sorted({numbers[0], numbers[len(numbers) // 2], numbers[-1]})


def cases(node, phase):
    for (where, call), numbers in sorted(node.calls.items()):
        if where != phase:
            continue
        for fault in FAULTS:
            if fault == "hang" and call not in MAY_HANG or fault == "ENOSPC" and call not in MAY_BE_FULL:
                continue
            # A hang costs a second, and an error is met by the same line in the middle as at the ends.
            at = {"hang": numbers[-1:], "kill": spread(numbers)}.get(fault, sorted({numbers[0], numbers[-1]}))
            for number in at:
                yield call, fault, number


def check_nothing_half(node, good):
    """Whatever an `.efi` name holds is whole, and what runs is as it was."""
    for file in (node.folder / "esp").rglob("*"):
        if file.suffix.lower() == ".efi":
            assert file.read_bytes() in good, f"{file.name} is none of the whole ones"
    running = "b" if node.name in ("bless", "fail") else "a"
    assert (node.folder / running).read_bytes() == (node.before / running).read_bytes()
    names = os.listdir(node.folder / "esp/EFI/Linux")
    assert any(re.fullmatch(r"stele-1\.efi", name) for name in names), names
    if running == "b":
        assert any(re.fullmatch(r"stele-2(\+\d(-\d)?)?\.efi", name) for name in names), names


def run_with_fault(node, call, fault, number):
    """How it ended. A run that the fault did not hit is a failure of the test: it would show nothing."""
    log = node.base / "fault"
    log.write_text("")
    command = node.strace("-o", log, "-e", f"inject={call}:{FAULTS[fault]}:when={number}")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        if fault == "hang":
            wait_until_it_hangs(process, log, call, number)
        else:
            process.communicate(timeout=MOST_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    where, told = f"{fault} at {call} number {number}", log.read_text(errors="replace")
    if fault == "kill":
        assert process.returncode == -signal.SIGKILL and "+++ killed by SIGKILL +++" in told, f"{where} did not kill: {process.returncode}"
    elif fault != "hang":
        assert re.search(rf"\b{call}\(.* {fault} .*\(INJECTED\)", told), f"{where} was not injected"
    return process.returncode


def wait_until_it_hangs(process, log, call, number):
    """A call is written down when it begins, its line is ended when it returns."""
    end = time.monotonic() + MOST_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"it ended, and did not hang at {call} number {number}"
        lines = log.read_text(errors="replace").split("\n")
        if is_call(lines[-1], call) and sum(is_call(line, call) for line in lines) == number:
            time.sleep(0.05)
            assert log.read_text(errors="replace").split("\n") == lines, f"{call} number {number} returned"
            return
        time.sleep(0.005)
    raise AssertionError(f"it never came to {call} number {number}")


def is_call(line, call):
    return re.match(rf"(?:\d+ +)?{call}\(", line) is not None


def whole_ones(node):
    good = {file.read_bytes() for file in (node.before / "esp").rglob("*") if file.is_file()}
    reference = TEMPLATE.setdefault("staged", None)
    if reference is None:
        folder = node.base / "reference"
        shutil.copytree(TEMPLATE["folder"], folder)
        driver("run", folder, "stage")
        TEMPLATE["staged"] = reference = {file.read_bytes() for file in (folder / "esp").rglob("*") if file.is_file()}
    return good | reference


COUNT = collections.Counter()


@pytest.mark.parametrize("run,phase", phases(), ids=lambda value: value)
def test_a_fault_changes_nothing_about_the_end(run, phase, node_of):
    node = node_of(run)
    good = whole_ones(node)
    tried = list(cases(node, phase))
    assert tried or phase == "check", f"no call of {phase} touches the node"
    for call, fault, number in tried:
        node.fresh()
        returned = run_with_fault(node, call, fault, number)
        where = f"{phase}: {fault} at {call} number {number} (returned {returned})"
        try:
            check_nothing_half(node, good)
            again = driver("run", node.folder, *node.steps, check=False)
            assert again.returncode == 0, again.stderr
            check_nothing_half(node, good)
            assert state(node.folder) == node.after
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from error
        COUNT[fault] += 1


def test_there_were_enough_faults():
    print(dict(COUNT))
    if len(COUNT) < len(FAULTS):
        pytest.skip("a filter left phases out")
    assert sum(COUNT.values()) >= 120, COUNT
