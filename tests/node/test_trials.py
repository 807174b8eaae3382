"""The life of a configuration: on trial, confirmed, reverted, left when it breaks boots; its history; patches and edits.
Secrets are looked for in everything that was printed or logged on the way."""

import json
import os
import pathlib
import re
import signal
import stat
import time

from node import BIN
from test_config import change, hostname


def running(node):
    return int(node.get("configs")["running"]["body"].get("generation", 0))


def renamed(node, name):
    """A file with the node's configuration and another host name."""
    path = node.folder / f"{name}.yaml"
    text = re.sub(r"(?m)^network:.*\n", f"network:\n  hostname: {name}\n", node.config, count=1)
    assert f"hostname: {name}" in text
    path.write_text(text)
    return path


def wait_hostname(node, name, timeout=20):
    node.wait(f"the name {name}", lambda: hostname(node) == name, timeout)


def history(node):
    return {int(item["generation"]): item for item in json.loads(node.osctl("config", "history", "-o", "json"))["items"]}


def state(node, generation):
    return history(node)[generation]["state"].removeprefix("CONFIG_GENERATION_STATE_")


def secrets_of(node):
    """Lines that only the private key has."""
    key = node.config[node.config.index("key: |"):].split("-----")[2]
    lines = [line.strip() for line in key.splitlines() if len(line.strip()) > 20]
    assert lines
    return lines


def assert_hushed(node, *texts):
    """No secret in what was printed, in any log of the node, or on its console."""
    everything = "".join(texts) + node.events() + node.console_tail()
    for service in node.services():
        everything += node.try_osctl("logs", service).stdout
    everything += node.osctl("get", "configs", "-o", "json") + node.osctl("config", "history", "-o", "json")
    for secret in secrets_of(node):
        assert secret not in everything


def test_a_trial_that_is_confirmed_stays(node):
    before = hostname(node)
    out = node.try_osctl("apply", "--mode", "try", "--timeout", "30s", "-f", renamed(node, "tried"))
    assert out.returncode == 0, out.stderr
    assert "set the host name tried" in out.stdout and "generation 1 is on trial until" in out.stderr
    wait_hostname(node, "tried")
    assert state(node, 1) == "TRYING"
    assert "osctl config confirm 1" in node.get("configs")["running"]["body"]["message"]
    # Nothing else meanwhile, and what it says is of use.
    for words in (["apply", "-f", renamed(node, "other")], ["apply", "--mode", "try", "-f", renamed(node, "other")],
                  ["patch", "-p", "{network: {hostname: other}}"], ["config", "revert", "1"]):
        refused = node.try_osctl(*words)
        assert refused.returncode != 0 and "generation 1 is on trial" in refused.stderr, refused.stderr
    wrong = node.try_osctl("config", "confirm", "7")
    assert wrong.returncode != 0 and "generation 1 is on trial, not 7" in wrong.stderr
    node.osctl("config", "confirm", "1")
    assert state(node, 1) == "RUNNING"
    again = node.try_osctl("config", "confirm", "1")
    assert again.returncode != 0 and "no configuration is on trial" in again.stderr
    node.pretend_boot("another-boot")
    node.kill_machined()
    wait_hostname(node, "tried")
    assert before != "tried" and "confirmed by" in node.events()
    assert_hushed(node, out.stdout, out.stderr)


def test_a_trial_that_nobody_confirms_ends(node):
    before = hostname(node)
    began = time.monotonic()
    node.osctl("apply", "--mode", "try", "--timeout", "6s", "-f", renamed(node, "tried"))
    wait_hostname(node, "tried")
    wait_hostname(node, before)
    assert 5 < time.monotonic() - began < 16
    assert "generation 1 was not confirmed within 6s: the one before it is back" in node.events()
    assert state(node, 1) == "REVERTED"
    assert "not confirmed within 6s" in history(node)[1]["message"]
    late = node.try_osctl("config", "confirm", "1")
    assert late.returncode != 0 and "no configuration is on trial" in late.stderr
    # It is free for the next one, and at once where somebody says so.
    node.osctl("apply", "--mode", "try", "-f", renamed(node, "second"))
    wait_hostname(node, "second")
    done = node.try_osctl("config", "revert")
    assert "the trial is over: the seed runs again" in done.stderr
    wait_hostname(node, before)
    assert "generation 2 was reverted by" in node.events()


def test_a_trial_ends_while_machined_is_killed_again_and_again(node):
    before = hostname(node)
    node.osctl("apply", "--mode", "try", "--timeout", "8s", "-f", renamed(node, "tried"))
    began = time.monotonic()
    wait_hostname(node, "tried")
    node.kill_machined()
    wait_hostname(node, "tried")  # the time is not over, and goes on
    # And dead when it ends.
    while time.monotonic() - began < 9:
        for pid in node.pids("machined"):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.1)
    wait_hostname(node, before, 60)  # init starts it after a pause that has grown with each kill
    node.wait("it says why", lambda: "generation 1 was not confirmed within 8s" in node.events())
    assert state(node, 1) == "REVERTED"


def test_a_trial_ends_with_the_boot(node):
    before = hostname(node)
    node.osctl("apply", "--mode", "try", "--timeout", "1h", "-f", renamed(node, "tried"))
    wait_hostname(node, "tried")
    node.pretend_boot("another-boot")
    node.kill_machined()
    wait_hostname(node, before)
    assert "generation 1 was on trial when the node restarted" in node.events()


def run_file(node, path):
    """A file below the node's /run/stele."""
    file = pathlib.Path(f"/proc/{node.pid}/root/run/stele") / path
    return file.read_text() if file.exists() else ""


def short_boot(node, boot):
    """A boot that begins and gets nowhere: machined has counted it, and the API is not up for ten seconds before the next."""
    node.pretend_boot(boot)
    os.kill(node.wait("machined runs", lambda: node.pids("machined"))[0], signal.SIGKILL)
    node.wait(f"{boot} is counted", lambda: f" boot={boot} " in run_file(node, "config/ledger"), pause=0.01)


def test_what_breaks_three_boots_is_left(node):
    node.osctl("apply", "-f", renamed(node, "bad"))
    wait_hostname(node, "bad")
    for boot in range(4):
        short_boot(node, f"boot-{boot}")
    node.wait("the seed again", lambda: (text := run_file(node, "config/generation-00000002.yaml")) and "hostname: bad" not in text)
    # It breaks, too: maintenance mode, which answers.
    for boot in range(4, 7):
        short_boot(node, f"boot-{boot}")
    node.wait_api()
    node.wait("maintenance mode", lambda: node.get("configs")["running"]["body"].get("source") == "maintenance")
    events = node.events()
    assert "generation 1 broke 3 boots in a row: the API was never up for 10s; the node goes back to its seed" in events
    assert "maintenance mode: generation 2 broke 3 boots" in events
    assert "maintenance mode: generation 2 broke 3 boots" in node.get("configs")["running"]["body"]["message"]
    assert state(node, 1) == "FAILED" and state(node, 2) == "FAILED" and state(node, 0) == "RUNNING"
    assert history(node)[2]["source"] == "fallback"
    node.wait("no workload", lambda: "containerd" not in node.services(), 60)
    # And takes another one.
    node.osctl("apply", "-f", renamed(node, "mended"))
    wait_hostname(node, "mended")
    assert state(node, 3) == "RUNNING"
    node.wait("its workload", lambda: "containerd" in node.services(), 60)


def test_what_brings_machined_down_is_left(node):
    """Nine crashes in one boot; init starts it anew at growing pauses."""
    seed = hostname(node)
    node.osctl("apply", "-f", renamed(node, "bad"))
    wait_hostname(node, "bad")
    short_boot(node, "boot-1")
    while len(run_file(node, "machined/crashes")) < 9:
        for pid in node.pids("machined"):
            try:
                os.kill(pid, signal.SIGSEGV)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
    node.wait("machined is back", lambda: node.pids("machined"), 60)
    node.wait_api()
    wait_hostname(node, seed)
    assert "generation 1 broke 3 boots in a row" in node.events()


def test_a_boot_that_comes_up_is_not_counted(node):
    node.osctl("apply", "-f", renamed(node, "fine"))
    wait_hostname(node, "fine")
    for boot in range(2):
        node.pretend_boot(f"boot-{boot}")
        node.kill_machined()
    time.sleep(12)  # the API is up for longer than ten seconds
    for boot in range(2, 7):
        node.pretend_boot(f"boot-{boot}")
        node.kill_machined()
    wait_hostname(node, "fine")
    assert state(node, 1) == "RUNNING"


def test_history_and_going_back(node):
    assert [item["source"] for item in history(node).values()] == ["image"]
    for name in ("one", "two", "three"):
        node.osctl("apply", "-f", renamed(node, name))
        wait_hostname(node, name)
    table = node.osctl("config", "history")
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["3", "2", "1"]
    assert "Running" in table.splitlines()[1]
    told = history(node)[3]
    assert told["source"] == "api" and "(admin)" in told["appliedBy"] and len(told["sha256"]) == 64
    assert "hostname: one" in node.osctl("config", "get", "--generation", "1")
    missing = node.try_osctl("config", "get", "--generation", "9")
    assert missing.returncode == 6 and "generation 9 is not kept" in missing.stderr
    done = node.try_osctl("config", "revert", "1")
    assert "set the host name one" in done.stdout and "generation 1 runs again, as generation 4" in done.stderr
    wait_hostname(node, "one")
    assert history(node)[4]["message"] == "generation 1 again"
    diff = node.osctl("config", "diff", "--from", "2", "--to", "3")
    assert "-  hostname: two\n+  hostname: three\n" in diff
    assert_hushed(node, table, diff, node.osctl("config", "get", "--generation", "2"))


def test_diff_shows_what_changes_and_no_secret(node):
    path = renamed(node, "other")
    diff = node.osctl("config", "diff", "-f", path)
    assert diff.startswith("--- running (generation 0)\n+++ given\n") and "+  hostname: other\n" in diff
    pods = node.folder / "pods.yaml"

    def with_pod(number):
        pod = ("{apiVersion: v1, kind: Pod, metadata: {name: demo}, "
               f"spec: {{containers: [{{name: a, image: HUSH-{number}}}]}}}}")
        text, count = re.subn(r"(?m)^kubelet:.*\n", f"kubelet:\n  staticPods:\n  - name: demo\n    manifest: '{pod}'\n",
                              path.read_text())
        assert count == 1
        pods.write_text(text)
        return pods

    node.osctl("apply", "-f", with_pod(1))
    diff = node.osctl("config", "diff", "-f", with_pod(2))
    assert "-    manifest: (secret)\n+    manifest: (secret, changed)\n" in diff and "HUSH" not in diff
    bad = node.try_osctl("config", "diff", "-f", change(node, "network:", "netwrok:"))
    assert bad.returncode == 7 and "netwrok" in bad.stderr
    same = node.folder / "same.yaml"
    same.write_text(node.osctl("config", "get"))
    assert node.try_osctl("config", "diff", "-f", same).stderr == "nothing differs\n"  # (secret) is what it was


def test_patches(node):
    done = node.try_osctl("patch", "-p", '{"network": {"hostname": "merged"}}')
    assert done.returncode == 0, done.stderr
    assert "set the host name merged" in done.stdout
    wait_hostname(node, "merged")
    node.osctl("patch", "--type", "json", "-p",
               '[{"op": "test", "path": "/network/hostname", "value": "merged"},'
               ' {"op": "replace", "path": "/network/hostname", "value": "patched"}]')
    wait_hostname(node, "patched")
    patch = node.folder / "patch.yaml"
    patch.write_text("network:\n  hostname: null\n")
    assert "take the host name from DHCP" in node.osctl("patch", "--dry-run", "-f", patch)
    before = running(node)
    # What must not go through: nothing changes, and what is wrong is said.
    hostile = [
        ("json", '[{"op": "test", "path": "/network/hostname", "value": "x"}]', "has another value"),
        ("json", '[{"op": "copy", "from": "", "path": "/a"}]', "unknown key 'a'"),
        ("json", '[{"op": "remove", "path": "/api/key"}]', "api.key: missing"),
        ("json", "{}", "a JSON patch is a list"),
        ("merge", '{"netwrok": {}}', "unknown key 'netwrok'"),
        ("merge", '{"network": {"hostname": "Bad_Name"}}', "RFC 1123"),
        ("merge", '{"api": {"key": "nonsense"}}', "api.key"),
        ("merge", "[" * 100, "nested deeper"),
        ("merge", '{"a": &x 1}', "anchors"),
        ("merge", '{"kubelet": {"kubeconfig": "(secret)"}}', "has no secret there to keep"),
        ("merge", "null", "expected a mapping"),
    ]
    for kind, text, why in hostile:
        refused = node.try_osctl("patch", "--type", kind, "-p", text)
        assert refused.returncode != 0 and why in refused.stderr, (text, refused.stderr)
    # A secret cannot be carried to where it is shown: patches see what everybody sees.
    leak = node.try_osctl("patch", "--type", "json", "-p",
                          '[{"op": "add", "path": "/kubelet", "value": {"nodeLabels": {}}},'
                          ' {"op": "copy", "from": "/api/key", "path": "/kubelet/nodeLabels/leak"}]')
    assert leak.returncode != 0 and "kubelet.nodeLabels.leak" in leak.stderr
    assert running(node) == before
    node.kill_machined()
    node.wait("its key still fits its certificate", lambda: "key: (secret)" in node.osctl("config", "get"))
    assert_hushed(node, done.stdout, done.stderr, leak.stderr, leak.stdout)


def test_edit_keeps_secrets_and_comments(node):
    commented = node.folder / "commented.yaml"
    text = renamed(node, "before").read_text()
    commented.write_text("# mine, all mine\n" + text.replace("  hostname: before", "  hostname: before  # a good name"))
    node.osctl("apply", "-f", commented)
    wait_hostname(node, "before")
    seen = node.folder / "seen.yaml"
    editor = node.folder / "editor"
    editor.write_text(f"#!/bin/sh\ncp \"$1\" {seen}\nstat -c %a \"$1\" >{node.folder}/mode\n"
                      "sed -i 's/hostname: before/hostname: after/' \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    environment = node.environment() | {"EDITOR": str(editor), "TMPDIR": str(node.folder)}
    environment.pop("VISUAL", None)

    def edit(*words):
        return node.inside(BIN / "osctl", "edit", *words, env=environment, capture_output=True, text=True, timeout=30)

    done = edit()
    assert done.returncode == 0, done.stderr
    wait_hostname(node, "after")
    shown = seen.read_text()
    assert "# mine, all mine" in shown and "hostname: before  # a good name" in shown and "key: (secret)" in shown
    assert (node.folder / "mode").read_text() == "600\n"
    assert not list(node.folder.glob("osctl-edit-*"))
    # Twice edited it is still the same key and the same comments.
    editor.write_text(f"#!/bin/sh\ncp \"$1\" {seen}\n")
    assert "nothing was changed" in edit().stderr
    assert "# mine, all mine" in seen.read_text() and "hostname: after  # a good name" in seen.read_text()
    node.kill_machined()
    # On trial, and one that is refused stays in its file.
    editor.write_text("#!/bin/sh\nsed -i 's/hostname: after/hostname: trial/' \"$1\"\n")
    assert "is on trial until" in edit("--mode", "try").stderr
    wait_hostname(node, "trial")
    node.osctl("config", "revert")
    wait_hostname(node, "after")
    editor.write_text("#!/bin/sh\nsed -i 's/hostname: after/hostnam: after/' \"$1\"\n")
    bad = edit()
    left = list(node.folder.glob("osctl-edit-*"))
    assert bad.returncode == 7 and "unknown key 'hostnam'" in bad.stderr and len(left) == 1 and str(left[0]) in bad.stderr
    assert_hushed(node, done.stdout, done.stderr, shown, bad.stderr, left[0].read_text())


def test_a_text_is_for_who_may_change_it(node):
    """Comments are the writer's own: a reader gets the configuration without them."""
    commented = node.folder / "commented.yaml"
    commented.write_text("# HUSH: an old token\n" + renamed(node, "named").read_text())
    node.osctl("apply", "-f", commented)
    assert "HUSH" not in node.osctl("config", "get")
    assert "HUSH" not in node.osctl("config", "get", "--generation", "1")
    assert "HUSH" not in node.osctl("config", "diff", "-f", renamed(node, "third"))
