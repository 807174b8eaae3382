"""STELE-STATE in a disk state, as the next boot finds it: e2fsck as machined runs it (storage_format.h), then the kernel's ext4.

Needs root and a loop device; a machine without is an error that says so. What is read is held against what crash_lab saved: the old one or the new one, whole.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import subprocess

import debian
import lab_disk
import states


@contextlib.contextmanager
def mounted(state: states.State, base_pieces: list[tuple[int, bytes]], work: pathlib.Path):
    """Yields the folder where the partition is mounted; `base_pieces` are what it held before the recording."""
    partition, folder = work / "partition", work / "mounted"
    folder.mkdir(exist_ok=True)
    start, end = lab_disk.STATE_AT, lab_disk.STATE_AT + lab_disk.STATE_SIZE
    with open(partition, "wb") as out:
        out.truncate(lab_disk.STATE_SIZE)
        for offset, data in base_pieces:
            out.seek(offset)
            out.write(data)
        for offset, data in state.changes():
            if start <= offset < end:
                out.seek(offset - start)
                out.write(data)
    heal(partition)
    debian.run(["mount", "-t", "ext4", "-o", "loop,noatime,nosuid,nodev,noexec", partition, folder])
    try:
        yield folder
    finally:
        debian.run(["umount", folder])


def heal(partition: pathlib.Path) -> None:
    """CheckFilesystem(force): mends what can be mended without loss, else all."""
    for words in (["-p"], ["-f", "-y"]):
        done = e2fsck(words, partition)
        if done.returncode < 4:
            return
    raise debian.Error(f"e2fsck gave up: {done.stdout.strip()[-300:]}")


def e2fsck(words: list[str], partition: pathlib.Path) -> subprocess.CompletedProcess:
    return subprocess.run(["e2fsck", *words, partition], capture_output=True, text=True,
                          env=os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})


def pieces(base: pathlib.Path) -> list[tuple[int, bytes]]:
    """What the partition holds in a sparse disk file."""
    found = []
    start, end = lab_disk.STATE_AT, lab_disk.STATE_AT + lab_disk.STATE_SIZE
    with open(base, "rb") as opened:
        at = start
        while True:
            try:
                data = os.lseek(opened.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but holes behind
                return found
            if data >= end:
                return found
            at = min(os.lseek(opened.fileno(), data, os.SEEK_HOLE), end)
            opened.seek(data)
            found.append((data - start, opened.read(at - data)))


def check(work: pathlib.Path) -> str:
    """What a full check finds in the partition that was mounted last; "" when nothing."""
    done = e2fsck(["-f", "-n"], work / "partition")
    return "" if done.returncode == 0 else done.stdout.strip()


def configs(folder: pathlib.Path) -> tuple[dict[int, str], list[str]]:
    """(number → YAML of whole generations, names of files that are not whole), by the seal of config_store.h."""
    whole, torn = {}, []
    for file in sorted((folder / "config").glob("*.yaml")) if (folder / "config").is_dir() else []:
        text = file.read_bytes().decode("utf-8", "replace")
        found = re.fullmatch(r"(?s)(.*)(# stele-generation:[^\n]*) sha256=([0-9a-f]{64})\n", text)
        if not found or hashlib.sha256((found[1] + found[2]).encode()).hexdigest() != found[3]:
            torn.append(file.name)
        else:
            whole[0 if file.name == "staged.yaml" else int(file.stem.rpartition("-")[2])] = found[1]
    return whole, torn


def config_text(number: int) -> str:
    """What lab_scenarios.cc saves as that generation."""
    return f"machine:\n  hostname: node-{number}\n" + "#" * (200 * number) + "\n"


def record_text(number: int) -> str:
    return f"record {number}\n" + "x" * (600 * number) + "\n"


def faults(scenario: str, folder: pathlib.Path, least: int, most: int) -> list[str]:
    """What is wrong when the `least`-th save is promised and the `most`-th is the last that can have begun."""
    if scenario == "records":
        file = folder / "upgrade/record"
        found = file.read_text() if file.exists() else None
        allowed = [record_text(number) for number in range(max(least, 1), most + 1)]
        return [] if found in allowed or (found is None and least == 0) else [f"the record is {_short(found)}; {least} to {most} may be"]
    whole, torn = configs(folder)
    problems = [f"{name} is torn" for name in torn]
    if scenario == "staged-config":
        newest = max((number for number in whole if number), default=0)
        if newest < least:
            problems.append(f"generation {newest} is the newest; {least} was saved")
        if most == 2 and least < 2 and newest < 2 and 0 not in whole:
            problems.append("what was staged is neither there nor a generation")
        return problems
    newest = max(whole, default=0)
    if not least <= newest <= most:
        problems.append(f"generation {newest} is the newest; {least} to {most} may be")
    problems += [f"generation {number} has another text" for number, text in whole.items() if text != config_text(number)]
    return problems


def _short(text: str | None) -> str:
    return "missing" if text is None else repr(text[:20]) + f" of {len(text)}"
