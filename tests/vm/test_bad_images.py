"""Images that were signed and are bad all the same, on a node that boots from its disk: OVMF, systemd-boot, `osctl upgrade`.

Each time the version before comes back with no hand laid on: resets are counted, and the power stays on. Afterwards the node says
which image failed, in which phase, and why, and refuses the same file. The cases share one node, which runs the built image all along.
"""

import dataclasses
import json
import os
import subprocess

import harness
import pytest
import resets
import variants

import assemble
import disk

WAIT = 600  # three tries, each to its deadline, on a busy machine
TRIES = 3
ESP = disk.layout(4 << 30)["ESP"].start
GATE = "there was still to wait for"
NEVER_STARTED = "its tries ended without a word"


@dataclasses.dataclass(frozen=True)
class Bad:
    kind: str
    told: tuple  # what the reason holds
    trial: int | None = None  # init's deadline, by the image's command line; the gate's is 30 s before it
    watchdog: int = 0  # resets by the hardware watchdog


CASES = [
    Bad("machined-exits", ("machined ended 10 times",)),
    Bad("apid-hangs", (f"after 30s {GATE} api",), trial=60),
    Bad("containerd-exits", (f"after 30s {GATE} containerd", "containerd last ended with", "its log:\n", "fail: this program always fails"), trial=60),
    Bad("kubelet-hangs", (f"after 45s {GATE} kubelet",), trial=75),
    Bad("init-hangs", ("watchdog",), watchdog=TRIES),
]


@pytest.fixture(scope="module")
def node():
    with harness.node("bad-images", firmware="ovmf", lifetime=3600) as made:
        made.wait_api(120)
        made.wait_service("kubelet")
        yield made


@pytest.fixture(scope="module")
def versions():
    return (f"0.3.{patch}" for patch in range(100))


def image_of(kind, version, trial):
    """As variants.make, with a deadline of `trial` seconds on its own command line."""
    if not trial:
        return variants.make(kind, version)
    of = assemble.Ingredients.load(harness.IMAGE / "made/ingredients.json")
    return variants.make(kind, version, command_line=f"{of.command_line} stele.trial={trial}")


def slots(node):
    return {name: slot["body"] for name, slot in node.get("slots").items()}


def upgrade_fails(node, image, version, at_reset=None):
    """What the resets were, once the version before runs again."""
    before = slots(node)["a"]["version"]
    with resets.counted(node.machine, at_reset) as seen:
        code, _, told = node.try_osctl("upgrade", "--image", image, "--yes", timeout=WAIT)
    assert code == 1 and f"the upgrade to {version} failed; {before} runs again" in told, told
    return seen


def assert_back(node, version, reason):
    """The version before runs, and what is known of the one that failed has all of `reason`."""
    found = node.wait_for("the slots are known", lambda: slots(node), 60)
    assert (found["a"]["state"], found["a"].get("running"), found["a"].get("next")) == ("SLOT_STATE_GOOD", True, True), found
    assert (found["b"]["state"], found["b"]["version"]) == ("SLOT_STATE_FAILED", version), found
    upgrade = node.get("upgrades")["current"]["body"]
    assert (upgrade["state"], upgrade["version"]) == ("UPGRADE_STATE_FAILED", version), upgrade
    told = [event["message"] for event in harness.items(node.osctl("events", "-o", "json"))
            if event["message"].startswith(f"upgrade to {version} failed")]
    assert len(told) == 1, told
    for text in (found["b"]["message"], upgrade["message"], told[0]):
        assert all(part in text for part in reason), text


def assert_refused(node, image, reason):
    code, _, told = node.try_osctl("upgrade", "--image", image, "--yes", "--stage-only", timeout=120)
    assert code == 1 and "failed on this node" in told and reason[0] in told, told
    assert slots(node)["b"]["state"] == "SLOT_STATE_FAILED"


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.kind)
def test_a_bad_image_is_left_told_and_refused(node, versions, bad):
    version = next(versions)
    image = image_of(bad.kind, version, bad.trial)
    seen = upgrade_fails(node, image, version)
    assert_back(node, version, bad.told)
    assert_refused(node, image, bad.told)
    assert seen.watchdog == bad.watchdog


def test_a_uki_that_was_signed_short_never_gets_a_name_that_boots(node, versions):
    version = next(versions)
    image = variants.make("uki-truncated", version)
    for _ in range(2):
        code, _, told = node.try_osctl("upgrade", "--image", image, "--yes", timeout=120)
        assert code == 1 and "section .linux ends past the file's end" in told, told
        assert not any(name.startswith("stele-") and ".new" not in name and name != "stele-1.efi" for name in names_on_the_esp(node))


def test_a_uki_cut_on_the_esp_heals_within_one_power_on(node, versions):
    """What the manifest could not know: the bytes were right when they were verified, and are not when the loader comes."""
    version = next(versions)
    image = variants.make("good", version)
    cut = []

    def cut_once():
        if not cut:
            cut.append(cut_on_the_esp(node))

    seen = upgrade_fails(node, image, version, cut_once)
    assert len(cut) == 1 and cut[0].endswith("+3.efi"), cut
    assert seen.resets == 1, "only the reboot that the upgrade asked for: the firmware goes on with its next entry"
    assert_back(node, version, (NEVER_STARTED,))
    assert_refused(node, image, (NEVER_STARTED,))


def test_a_kernel_that_cannot_be_unpacked_costs_a_hand_a_try_and_no_node(node, versions):
    """What does not heal alone: the stub of systemd 257 crashes when the kernel comes back to it, and OVMF stands still then. No
    watchdog runs so early. So each try costs somebody a reset, and after the third the version before is there."""
    version = next(versions)
    image = variants.make("kernel-flipped", version)
    crashes = node.serial_text().count("X64 Exception Type")
    with node.popen("upgrade", "--image", image, "--yes", stderr=subprocess.PIPE, text=True) as upgrade:
        for hand in range(1, TRIES + 1):
            node.wait_for(f"try {hand} ends", lambda: node.serial_text().count("X64 Exception Type") >= crashes + hand, WAIT)
            node.machine.qmp("system_reset")
        _, told = upgrade.communicate(timeout=WAIT)
    assert upgrade.returncode == 1 and f"the upgrade to {version} failed" in told, told
    assert_back(node, version, (NEVER_STARTED,))
    assert_refused(node, image, (NEVER_STARTED,))


def names_on_the_esp(node):
    return [path.rsplit("/", 1)[1] for path in mtools("mdir", "-b", "-i", f"{node.machine.disk()}@@{ESP}", "::EFI/Linux").split()]


def cut_on_the_esp(node):
    """Leaves the first third of the UKI that the loader will try, under its name. The machine stands still."""
    [name] = [name for name in names_on_the_esp(node) if "+" in name]
    at, copy = f"{node.machine.disk()}@@{ESP}", node.folder / "cut.efi"
    mtools("mcopy", "-n", "-i", at, f"::EFI/Linux/{name}", copy)
    os.truncate(copy, copy.stat().st_size // 3)
    mtools("mdel", "-i", at, f"::EFI/Linux/{name}")
    mtools("mcopy", "-i", at, copy, f"::EFI/Linux/{name}")
    return name


def mtools(*command):
    done = subprocess.run(list(map(str, command)), env={**os.environ, "MTOOLS_SKIP_CHECK": "1"}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
