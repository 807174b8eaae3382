"""A configuration that is bad for a real node: one that cuts its network off, one on trial when the power goes, one that
breaks its boots. Each time the node comes back by itself, on its own disk."""

import json
import re
import time

import harness

BACK_SECONDS = 90  # after a configuration that cuts the network


def apply(node, name, *words, network=""):
    path = node.folder / f"{name}.yaml"
    text = node.config.read_text()
    path.write_text(re.sub(r"(?m)^network:.*\n", f"network:\n  hostname: {name}\n{network}", text, count=1))
    assert f"hostname: {name}" in path.read_text()
    return node.osctl("apply", "-f", path, *words)


def hostname(node):
    return node.get("hostnames")["hostname"]["body"].get("hostname")


def history(node):
    return {int(item["generation"]): item for item in json.loads(node.osctl("config", "history", "-o", "json"))["items"]}


def plug_pulled(node):
    node.machine.stop()
    node.machine.start()
    node.wait_api(150)


def test_a_node_comes_back_from_bad_configurations():
    with harness.node("config-life", lifetime=1500) as node:
        node.wait_api()
        node.wait_volumes()
        apply(node, "good")
        node.wait_for("the last good one", lambda: history(node)[1].get("lastGood"), 240)

        # One that leaves the node where nobody reaches it.
        began = time.monotonic()
        apply(node, "cut-off", "--mode", "try", "--timeout", "20s",
              network="  interfaces:\n  - name: eth0\n    addresses: [192.0.2.77/24]\n")
        time.sleep(5)
        code, _, _ = node.try_osctl("version", "--timeout", "3s")
        assert code != 0, "the network was not cut, so that nothing is shown"
        node.wait_for("the one before", lambda: hostname(node) == "good", BACK_SECONDS - 8)
        assert time.monotonic() - began < BACK_SECONDS
        assert history(node)[2]["state"].endswith("REVERTED")

        # The power goes while one is on trial.
        apply(node, "tried", "--mode", "try", "--timeout", "1h")
        node.wait_for("the trial", lambda: hostname(node) == "tried", 30)
        plug_pulled(node)
        node.wait_for("the one before", lambda: hostname(node) == "good", 60)
        assert any("generation 3 was on trial when the node restarted" in line for line in node.events())

        # Three boots in a row that end before the API was up for ten seconds.
        apply(node, "bad")
        node.wait_for("the bad one", lambda: hostname(node) == "bad", 30)
        for _ in range(3):
            plug_pulled(node)
            assert hostname(node) in ("bad", None)
        plug_pulled(node)
        node.wait_for("the last good one", lambda: hostname(node) == "good", 60)
        assert any("generation 4 broke 3 boots in a row" in line for line in node.events())
        assert history(node)[4]["state"].endswith("FAILED") and history(node)[5]["source"] == "fallback"
