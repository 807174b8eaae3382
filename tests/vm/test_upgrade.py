"""An image's life on a node that boots from its disk: OVMF, systemd-boot, the UKI, the root in its slot.

A good image becomes the running one; one whose kernel panics burns its tries and the version before comes back by
itself; bytes that are not what the manifest says never get a name that boots.
"""

import harness
import pytest
import variants

WAIT = 420  # a trial with three tries, on a busy machine


@pytest.fixture(scope="module")
def node():
    with harness.node("upgrade", firmware="ovmf", lifetime=1500) as made:
        made.wait_api(120)
        made.wait_service("kubelet")
        yield made


def slots(node):
    return {name: slot["body"] for name, slot in node.get("slots").items()}


def running(node):
    return next((name, slot) for name, slot in slots(node).items() if slot.get("running"))


def test_a_good_image_becomes_the_running_one(node):
    assert running(node)[0] == "a"
    node.osctl("upgrade", "--image", variants.make("good", "0.2.0"), "--yes", timeout=WAIT)
    name, slot = running(node)
    assert (name, slot["version"], slot["state"], slot["file"]) == ("b", "0.2.0", "SLOT_STATE_GOOD", "stele-2.efi")
    assert slots(node)["a"]["state"] == "SLOT_STATE_GOOD", "the image before stays, to go back to"
    boots = [boot["body"] for boot in node.get("boots").values()]
    assert [boot["end"] for boot in boots] == ["BOOT_END_REBOOT", "BOOT_END_RUNNING"]
    assert "0.2.0" in boots[0]["reason"]


def test_flipped_bits_are_refused_and_nothing_of_them_boots(node):
    before = slots(node)
    code, _, told = node.try_osctl("upgrade", "--image", variants.make("root-flipped", "0.3.0"), "--yes", "--stage-only", timeout=WAIT)
    assert code != 0 and "chunk" in told, told
    after = slots(node)
    assert after["b"] == before["b"]
    assert not after["a"].get("next")


def test_a_kernel_that_panics_is_left_and_then_refused(node):
    image = variants.make("kernel-panics", "0.3.0")
    code, _, told = node.try_osctl("upgrade", "--image", image, "--yes", timeout=WAIT)
    assert code == 1 and "0.2.0 runs again" in told, told
    name, slot = running(node)
    assert (name, slot["version"], slot["state"]) == ("b", "0.2.0", "SLOT_STATE_GOOD")
    other = slots(node)["a"]
    assert other["state"] == "SLOT_STATE_FAILED" and other["message"], other
    code, _, told = node.try_osctl("upgrade", "--image", image, "--yes", "--stage-only", timeout=WAIT)
    assert code != 0 and "failed" in told, told
