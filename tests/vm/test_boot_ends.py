"""How a boot ended, when nobody asked for it: a kernel panic, and an init that stands still until the watchdog bites."""

import harness


def test_a_panic_and_a_hang_are_told_apart():
    pod = harness.static_pod("ends", "ends", "/host", host_root=True)
    with harness.node("boot-ends", firmware="ovmf", static_pods=[pod], lifetime=900) as node:
        node.wait_api(150)
        node.import_image(harness.probe_image())
        # Two boots end by what the pod does in each; the third stays.
        node.wait_for("the third boot", lambda: len(node.boots()) == 3, 500)
        panic, hang, running = node.boots()
        assert panic["end"] == "BOOT_END_PANIC", panic
        assert "Kernel panic - not syncing: sysrq triggered crash" in panic["reason"], panic["reason"]
        assert "sysrq: Trigger a crash" in panic["kernelLog"] and "Call Trace" in panic["kernelLog"], panic["kernelLog"]
        assert hang["end"] == "BOOT_END_WATCHDOG", hang
        assert running["end"] == "BOOT_END_RUNNING", running
        told = node.events()
        assert any("ended: watchdog" in line for line in told), told
