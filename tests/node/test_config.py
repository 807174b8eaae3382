"""The configuration through the API: looked at, checked, applied, kept over kills of machined."""

import os
import signal
import time


def change(node, old, new):
    """A file with the node's configuration, changed."""
    assert old in node.config
    path = node.folder / "changed.yaml"
    path.write_text(node.config.replace(old, new, 1))
    return path


def hostname(node):
    return node.get("hostnames")["hostname"]["body"].get("hostname")


def test_get_shows_everything_but_secrets(node):
    text = node.osctl("config", "get")
    assert "key: (secret)" in text
    assert "BEGIN CERTIFICATE" in text
    assert "PRIVATE KEY" not in text


def test_bad_ones_are_refused_with_their_place_and_change_nothing(node):
    before = node.get("configs")["running"]
    done = node.try_osctl("config", "apply", "-f", change(node, "network:", "netwrok:"))
    assert done.returncode != 0
    assert "unknown key 'netwrok'; did you mean 'network'?" in done.stderr
    line = next(i for i, text in enumerate(node.config.splitlines(), 1) if text.startswith("network:"))
    assert f":{line}:1: netwrok:" in done.stderr
    done = node.try_osctl("config", "validate", "-f", change(node, "network:", "network: 7 #"))
    assert "expected a mapping" in done.stdout + done.stderr
    # Its own text is longer than an answer may be.
    many = node.folder / "many.yaml"
    many.write_text("".join(f"{'k' * 200}{i}: 1\n" for i in range(1000)))
    done = node.try_osctl("config", "apply", "-f", many)
    assert done.returncode != 0 and "1:1" in done.stderr
    assert node.get("configs")["running"] == before


def test_a_dry_run_plans_and_changes_nothing(node):
    path = change(node, "kind: MachineConfig", "kind: MachineConfig\ntime: {servers: [192.0.2.1]}") \
        if "time:" not in node.config else change(node, "time: {}", "time: {servers: [192.0.2.1]}")
    before = node.get("configs")["running"]
    done = node.osctl("config", "apply", "--dry-run", "-f", path)
    assert "start chronyd" in done
    assert node.get("configs")["running"] == before


def test_an_applied_one_runs_and_survives_machined(node):
    renamed = change(node, "network: {}", "network: {hostname: renamed}") if "network: {}" in node.config else \
        change(node, "network:\n", "network:\n  hostname: renamed\n")
    pids = {name: service["pid"] for name, service in node.services().items() if service.get("pid")}
    node.osctl("config", "apply", "-f", renamed)
    node.wait("generation 1 runs", lambda: node.get("configs")["running"]["body"].get("generation") in (1, "1"))
    node.wait("the name is set", lambda: hostname(node) == "renamed")
    for _ in range(3):
        machined = node.pids("machined")
        os.kill(machined[0], signal.SIGKILL)
        node.wait("machined is back", lambda: node.pids("machined") not in ([], machined))
        node.wait_api()
        assert "hostname: renamed" in node.osctl("config", "get")
    node.wait("it knows its generation", lambda: node.get("configs")["running"]["body"].get("generation") in (1, "1"))
    after = {name: service["pid"] for name, service in node.services().items() if service.get("pid")}
    assert after["apid"] == pids["apid"]  # a host name is nothing to it


def test_new_keys_restart_nothing(node):
    """The same certificate in other words: a comment before it is another file."""
    services = {name: service["pid"] for name, service in node.services().items() if service.get("pid")}
    api = node.config.index("certificate:")
    begin = "-----BEGIN CERTIFICATE-----"
    text = node.config[:api] + node.config[api:].replace(begin, "renewed\n" + " " * 4 + begin, 1)
    path = node.folder / "renewed.yaml"
    path.write_text(text)
    plan = node.osctl("config", "apply", "-f", path)
    assert "serve the API with the new certificate" in plan and "restart" not in plan, plan
    node.wait("apid took them", lambda: "apid: new keys" in node.osctl("logs", "apid"))
    node.wait_api()
    after = {name: service["pid"] for name, service in node.services().items() if service.get("pid")}
    assert after == services


def test_staging_needs_a_state_partition(node):
    done = node.try_osctl("config", "apply", "--mode", "staged", "-f", change(node, "kind:", "kind:"))
    assert done.returncode != 0
    assert "no state partition" in done.stderr
