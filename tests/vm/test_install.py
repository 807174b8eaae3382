"""From a medium onto an empty disk, by the configuration alone; then the history of its boots: a reboot, a pulled plug."""

import pathlib

import harness


def from_medium(name, **options):
    """A node that boots the ISO with an empty disk, and a configuration that installs onto it."""
    node = harness.Node(name, firmware="ovmf", medium="iso", **options)
    config = pathlib.Path(node.machine.options.config)
    config.write_text(config.read_text() + "install:\n  disk: {path: /dev/vda}\n")
    return node


def boots(node):
    return [item["body"] for _, item in sorted(node.get("boots").items(), key=lambda pair: int(pair[0]))]


def test_from_an_iso_to_the_disk_and_its_boots():
    node = from_medium("install")
    node.machine.start()
    try:
        node.wait_for("the disk boots", lambda: boots(node)[-1].get("slot") == "a", 420)
        node.wait_for("both volumes are up", lambda: (v := node.get("volumes")) and all(
            v.get(label, {}).get("body", {}).get("ready") for label in ("STELE-STATE", "STELE-DATA")), 120)
        assert node.get("configs")["running"]["body"]["source"] == "state"
        assert 'loading Boot' in node.serial_text() and '"Stele" from HD(1,GPT' in node.serial_text()

        # The end that was asked for is the reason of the boot before.
        node.osctl("reboot", "--yes", "--wait", timeout=300)
        node.wait_for("the history has two boots", lambda: len(boots(node)) >= 2, 120)
        assert boots(node)[-2]["end"] == "BOOT_END_REBOOT" and "asked by" in boots(node)[-2]["reason"]

        # The plug.
        node.machine.stop()
        node.machine.start()
        node.wait_for("the power loss is told", lambda: boots(node)[-2]["end"] == "BOOT_END_POWER_LOSS", 300)
    finally:
        node.machine.stop()
        node.machine.disk().unlink(missing_ok=True)
