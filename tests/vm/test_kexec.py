"""A reboot past the firmware: where the kernel can check its successor's signature, and not elsewhere."""

import firmware_keys
import harness
import pytest
import qemu


def node_with(name, keys):
    node = harness.Node(name, firmware="ovmf", lifetime=900)
    if keys:
        signer = firmware_keys.signer_of(harness.IMAGE / "vmlinuz")
        firmware_keys.enrol(qemu.find().ovmf_vars, node.folder / "ovmf-vars.fd", signer)
    return node


@pytest.fixture(params=[False, True], ids=["signer-unknown", "signer-in-db"])
def known(request):
    node = node_with(f"kexec-{request.param}", request.param)
    node.machine.start()
    try:
        node.wait_api(180)
        node.wait_for("the slots are known", lambda: node.get("slots"), 120)
        node.wait_for("the state partition is mounted", lambda: node.get("volumes").get("STELE-STATE", {}).get("body", {}).get("ready"), 60)
        yield node, request.param
    finally:
        node.machine.stop()
        node.machine.disk().unlink(missing_ok=True)


def boots(node):
    return [boot["body"] for _, boot in sorted(node.get("boots").items(), key=lambda item: int(item[0]))]


def test_kexec(known):
    node, allowed = known
    before = node.serial_text().count("BdsDxe: starting")
    boot = boots(node)[-1]["bootId"]
    code, _, told = node.try_osctl("reboot", "--kexec", "--wait", "--yes", timeout=300)
    if not allowed:
        assert code == 1 and "not among the keys of the firmware (db)" in told, told
        assert boots(node)[-1]["bootId"] == boot and len(boots(node)) == 1
        return
    assert code == 0, told
    node.wait_for("this boot is in the history", lambda: len(boots(node)) == 2, 60)
    ended, runs = boots(node)
    assert ended["end"] == "BOOT_END_KEXEC" and "asked by" in ended["reason"], ended
    assert runs["end"] == "BOOT_END_RUNNING" and runs["bootId"] != boot
    assert node.serial_text().count("BdsDxe: starting") == before, "the firmware was not asked"
    slots = {name: slot["body"] for name, slot in node.get("slots").items()}
    assert slots["a"]["running"] and slots["a"]["state"] == "SLOT_STATE_GOOD", slots
    # Again, from a boot that was one.
    node.osctl("reboot", "--kexec", "--wait", "--yes", timeout=300)
    node.wait_for("the third boot", lambda: len(boots(node)) == 3, 60)
    # And through the firmware.
    node.osctl("reboot", "--wait", "--yes", timeout=300)
    node.wait_for("the fourth boot", lambda: len(boots(node)) == 4, 60)
    assert [one["end"] for one in boots(node)] == ["BOOT_END_KEXEC", "BOOT_END_KEXEC", "BOOT_END_REBOOT", "BOOT_END_RUNNING"]
