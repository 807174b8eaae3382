"""Who may call a node, over the life of keys: certificates issued and revoked, CAs and server certificates replaced, roles of
the configuration, and the audit of all of it."""

import pathlib
import re
import subprocess
import time

from test_api import call_each, methods

TOP = pathlib.Path(__file__).resolve().parents[2]
STREAMS = TOP / "tests/api/open_streams.py"
VERSION = "/stele.machine.v1.SystemService/Version"


class Client:
    """tests/api/open_streams.py with a certificate, until the end of the block."""

    def __init__(self, node, certificate, streams=4, keys=None):
        keys = keys or node.folder / "keys"
        self.process = node.popen_inside("/usr/bin/python3", STREAMS, "--node", "127.0.0.1:50000",
                                         "--ca", node.folder / "keys/server-ca.crt", "--cert", keys / f"{certificate}.crt",
                                         "--key", keys / f"{certificate}.key", "--streams", str(streams),
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        assert line == "open\n", line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def finish(self):
        """(lines of streams that ended, lines of calls that failed, what the last line counts)"""
        out, _ = self.process.communicate(timeout=60)
        lines = out.splitlines()
        words = lines[-1].split()
        assert words[0] == "calls", out
        return ([line.split(maxsplit=3) for line in lines if line.startswith("ended")],
                [line for line in lines if line.startswith("failed")],
                {name: int(value) for name, value in zip(words[::2], words[1::2])})


def issue(node, name, role, ttl="1h", keys=None):
    node.run_osctl("cert", "issue", "--role", role, "--name", name, "--ttl", ttl, "-o", keys or node.folder / "keys")


def serial_of(path):
    out = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-serial"], capture_output=True, text=True, check=True).stdout
    return out.strip().removeprefix("serial=").lower().lstrip("0")


def block(path, key):
    """The file's text as the configuration's block of that key."""
    return f"  {key}: |\n" + "".join(f"    {line}\n" for line in path.splitlines())


def with_api(config, **texts):
    """The configuration with other values of keys below api."""
    for key, text in texts.items():
        config, count = re.subn(rf"(?m)^  {key}: \|\n(?:    .*\n)+", block(text, key).replace("\\", "\\\\"), config, count=1)
        assert count == 1, key
    return config


def apply(node, config):
    path = node.folder / "changed.yaml"
    path.write_text(config)
    node.osctl("config", "apply", "-f", path)


# ---- The audit

def test_every_call_is_in_the_audit_which_survives_machined_and_boots(node):
    issue(node, "looker", "reader")
    denied = "/stele.machine.v1.SystemService/Shutdown"
    assert call_each(node, [VERSION, denied], "looker") == {VERSION: "OK", denied: "PERMISSION_DENIED"}
    serial = serial_of(node.folder / "keys/looker.crt")

    def mine():
        return [line for line in node.osctl("audit").splitlines() if 'subject="looker"' in line]

    lines = node.wait("both calls are in the audit", lambda: len(mine()) == 2 and mine())
    assert f'role=reader serial={serial} peer=127.0.0.1:' in lines[0] and 'decision=allow result=OK' in lines[0]
    assert f'method="{denied}" decision=deny result=PERMISSION_DENIED' in lines[1]
    # A stranger is there, too.
    node.run_osctl("gen", "client", "--usage", "server", "--name", "stranger", "-o", node.folder / "keys")
    assert call_each(node, [VERSION], "stranger") == {VERSION: "UNAVAILABLE"}
    node.wait("the stranger is in the audit", lambda: "decision=refuse" in node.osctl("audit"))
    for _ in range(5):
        node.kill_machined()
        # The API answers a moment before the audit is looked for: until then it says so.
        node.wait("none is lost", lambda: mine()[:2] == lines)
        assert mine() == lines, "none comes twice"
    tail = node.osctl("audit", "--tail", "3").splitlines()
    assert len(tail) == 3
    assert not [line for line in node.osctl("audit", "--since", "2099-01-01T00:00:00Z").splitlines()]


def test_the_audit_is_followed(node):
    from node import BIN
    follower = node.popen_inside(BIN / "osctl", "audit", "-f", env=node.environment(), stdout=subprocess.PIPE, text=True)
    issue(node, "late", "operator")
    call_each(node, [VERSION], "late")
    began = time.monotonic()
    for line in follower.stdout:
        if 'subject="late"' in line:
            break
    took = time.monotonic() - began
    follower.kill()
    follower.wait()
    assert 'role=operator' in line
    assert took < 5, f"{took:.1f} s"


# ---- Revoking

def test_a_revoked_certificate_is_shown_out_within_a_second_under_load(node):
    issue(node, "thief", "admin")
    issue(node, "honest", "admin")
    with Client(node, "thief", 8) as thief, Client(node, "honest", 8) as honest:
        time.sleep(0.5)
        asked = time.monotonic()
        told = node.try_osctl("cert", "revoke", node.folder / "keys/thief.crt", "--reason", "laptop lost")
        answered = time.monotonic()
        assert told.returncode == 0 and "revoked" in told.stderr, told.stderr
        # At once: no connection is taken after the answer.
        for _ in range(10):
            assert call_each(node, [VERSION], "thief") == {VERSION: "UNAVAILABLE"}
        ended, failed, thief_counts = thief.finish()
        honest_ended, honest_failed, counts = honest.finish()
    assert len(ended) == 8 and thief_counts["open"] == 0
    assert {words[2] for words in ended} == {"UNAUTHENTICATED"}, ended
    last = max(float(words[1]) for words in ended)
    print(f"8 streams ended {1000 * (last - asked):.0f} ms after revoking was asked for, {1000 * (last - answered):.0f} after "
          f"the answer; others meanwhile: {counts}")
    assert last - answered < 1.0 + counts["longest"] / 1000  # a starved machine makes everybody wait
    assert thief_counts["failed"] > 0 and failed
    assert honest_ended == [] and honest_failed == [] and counts["open"] == 8 and counts["calls"] > 0

    serial = serial_of(node.folder / "keys/thief.crt")
    listed = node.get("revocations")
    assert set(listed) == {serial}
    assert listed[serial]["body"]["subject"] == "thief" and listed[serial]["body"]["reason"] == "laptop lost"
    assert "thief" in node.osctl("cert", "list")
    again = node.try_osctl("cert", "revoke", serial)
    assert again.returncode == 0 and "was revoked before" in again.stderr

    # Kept over a kill of machined and of apid, and over a boot.
    node.pretend_boot("00000000-0000-4000-8000-000000000001")
    node.kill_machined()
    (apid,) = node.pids("apid")
    subprocess.run(["kill", "-9", str(apid)], check=True)
    node.wait("another apid", lambda: node.pids("apid") not in ([], [apid]))
    node.wait_api()
    assert call_each(node, [VERSION], "thief") == {VERSION: "UNAVAILABLE"}
    assert call_each(node, [VERSION], "honest") == {VERSION: "OK"}
    assert set(node.get("revocations")) == {serial}


def test_what_apid_could_not_be_told_is_no_success_and_is_tried_again(node):
    issue(node, "thief", "admin")
    # Where the file would be put together.
    stuck = pathlib.Path(f"/proc/{node.pid}/root/run/stele/apid/.revoked.new")
    stuck.mkdir()
    done = node.try_osctl("cert", "revoke", node.folder / "keys/thief.crt")
    assert done.returncode != 0 and "not refused yet" in done.stderr, (done.stdout, done.stderr)
    assert call_each(node, [VERSION], "thief") == {VERSION: "OK"}
    stuck.rmdir()
    node.wait("it is told", lambda: call_each(node, [VERSION], "thief") == {VERSION: "UNAVAILABLE"}, timeout=60)


def test_only_administrators_revoke(shared_node):
    for role in ("reader", "operator", "updater", "backup"):
        issue(shared_node, f"no-{role}", role)
        method = "/stele.machine.v1.SecurityService/RevokeCertificate"
        assert call_each(shared_node, [method], f"no-{role}") == {method: "PERMISSION_DENIED"}
    done = shared_node.try_osctl("cert", "revoke", "0")
    assert done.returncode != 0 and "serial number" in done.stderr


# ---- Roles

def test_narrow_roles_of_every_node(shared_node):
    paths = [m["path"] for m in methods() if "/stele." in m["path"]]
    issue(shared_node, "some-updater", "updater")
    issue(shared_node, "some-backup", "backup")
    # Verbs that would act are called in src/apid/roles_test.cc; here what is refused, and what only looks.
    may = {"updater": ("SystemService/Version", "UpgradeService/", "ResourceService/", "EventService/"),
           "backup": ("SystemService/Version", "FileService/", "LogService/", "ResourceService/", "EventService/",
                      "ConfigService/GetConfig", "ConfigService/ConfigHistory")}
    for role, parts in may.items():
        refused = [p for p in paths if not any(part in p for part in parts) or p.endswith("GetConfigText")]
        assert refused
        seen = call_each(shared_node, refused, f"some-{role}")
        assert seen == {path: "PERMISSION_DENIED" for path in refused}
        assert call_each(shared_node, [VERSION], f"some-{role}") == {VERSION: "OK"}

    def osctl_as(name, *words):
        config = shared_node.folder / "keys" / f"osctl-{name}.yaml"
        config.write_text((shared_node.folder / "keys/osctl.yaml").read_text().replace("admin.crt", f"{name}.crt").replace("admin.key", f"{name}.key"))
        return shared_node.try_osctl(*words) if name == "admin" else \
            shared_node.inside("env", f"OSCTLCONFIG={config}", __import__("node").BIN / "osctl", *words, capture_output=True, text=True, timeout=30)

    assert osctl_as("some-updater", "get", "services").returncode == 0
    done = osctl_as("some-updater", "get", "processes")
    assert done.returncode != 0 and "the role updater is not given the type 'processes'" in done.stderr, done.stderr
    assert osctl_as("some-backup", "get", "processes").returncode == 0
    # Files as an administrator sees them, which keys are not part of.
    assert osctl_as("some-backup", "ls", "/etc").returncode == 0
    done = osctl_as("some-backup", "read", "/run/stele/apid/tls.pem")
    assert done.returncode != 0, done.stdout


def test_roles_of_the_configuration(node):
    issue(node, "ci", "ci-watch")
    watched = ["/stele.machine.v1.ResourceService/List", "/stele.machine.v1.LogService/ReadLog", VERSION,
               "/stele.machine.v1.SystemService/Shutdown"]
    assert call_each(node, watched, "ci") == {path: "PERMISSION_DENIED" for path in watched}, "no such role yet"
    role = ("  roles:\n  - name: ci-watch\n    methods: [SystemService.Version, \"LogService.*\", ResourceService.List]\n"
            "    resources: [services]\n")
    config = node.config.replace("\n# Host name, addresses", role + "\n# Host name, addresses", 1)
    assert config != node.config
    apply(node, config)
    node.wait("the role is known", lambda: call_each(node, [VERSION], "ci") == {VERSION: "OK"})
    seen = call_each(node, watched, "ci")
    assert seen.pop("/stele.machine.v1.SystemService/Shutdown") == "PERMISSION_DENIED"
    # An empty request asks for no log and no type: it came through, and machined says so.
    assert seen["/stele.machine.v1.LogService/ReadLog"] == "INVALID_ARGUMENT"
    assert seen["/stele.machine.v1.ResourceService/List"] == "PERMISSION_DENIED", "the type \"\" is not given"
    own = node.folder / "keys/osctl-ci.yaml"
    own.write_text((node.folder / "keys/osctl.yaml").read_text().replace("admin.crt", "ci.crt").replace("admin.key", "ci.key"))
    from node import BIN
    as_ci = lambda *words: node.inside("env", f"OSCTLCONFIG={own}", BIN / "osctl", *words, capture_output=True, text=True, timeout=30)
    assert as_ci("get", "services").returncode == 0
    done = as_ci("get", "links")
    assert done.returncode != 0 and "the role ci-watch is not given the type 'links'" in done.stderr, done.stderr

    with Client(node, "ci", 2) as ci, Client(node, "admin", 2) as admin:
        apply(node, node.config)  # without the role
        node.wait("the role is gone", lambda: call_each(node, [VERSION], "ci") == {VERSION: "PERMISSION_DENIED"})
        ended, _, counts = ci.finish()
        admin_ended, admin_failed, admin_counts = admin.finish()
    assert len(ended) == 2 and counts["open"] == 0, "its streams end with it"
    assert admin_ended == [] and admin_failed == [] and admin_counts["open"] == 2

    bad = node.config.replace("\n# Host name, addresses", role.replace("ci-watch", "operator") + "\n# Host name, addresses", 1)
    path = node.folder / "bad.yaml"
    path.write_text(bad)
    done = node.try_osctl("config", "apply", "-f", path)
    assert done.returncode != 0 and "every node has a role operator, which cannot be changed" in done.stderr


# ---- Other keys

def test_a_client_ca_is_rotated_and_a_certificate_renewed_without_a_dropped_call(node):
    keys, next_keys = node.folder / "keys", node.folder / "next"
    node.run_osctl("gen", "pki", "--name", "other", "-o", next_keys)
    issue(node, "newcomer", "admin", keys=next_keys)
    old, new = (keys / "client-ca.crt").read_text(), (next_keys / "client-ca.crt").read_text()
    assert old != new

    with Client(node, "admin", 4) as before:
        # Overlap: both are trusted, and nobody notices.
        apply(node, with_api(node.config, clientCA=old + new))
        node.wait("the new CA is trusted", lambda: subprocess.run(
            ["true"]).returncode == 0 and call_with(node, next_keys, "newcomer") == "OK")
        with Client(node, "newcomer", 4, next_keys) as after:
            # A new server certificate, while all of them are connected.
            shown = shown_certificate(node)
            node.run_osctl("gen", "pki", "--name", "node", "--san", "127.0.0.1", "-o", keys)
            certificate, key = (keys / "node.crt").read_text(), (keys / "node.key").read_text()
            renewed = with_api(node.config, clientCA=old + new, certificate=certificate, key=key)
            apply(node, renewed)
            node.wait("the new certificate is shown", lambda: shown_certificate(node) != shown)
            ended, failed, counts = before.finish()
            assert ended == [] and failed == [] and counts["open"] == 4 and counts["calls"] > 0, (ended, failed)
            # The old CA goes: its clients are shown out, those of the new one stay.
            with Client(node, "admin", 2) as last:
                apply(node, with_api(renewed, clientCA=new))
                node.wait("the old CA is gone", lambda: call_each(node, [VERSION], "admin") == {VERSION: "UNAVAILABLE"})
                ended, _, counts = last.finish()
                assert len(ended) == 2 and counts["open"] == 0
            ended, failed, counts = after.finish()
            print(f"through a new server certificate and the old CA's end: {counts}")
            assert ended == [] and failed == [] and counts["open"] == 4 and counts["calls"] > 0, (ended, failed)


def call_with(node, keys, certificate):
    program = TOP / "tests/api/call_each.py"
    done = node.inside("/usr/bin/python3", program, "--node", "127.0.0.1:50000", "--ca", node.folder / "keys/server-ca.crt",
                       "--cert", keys / f"{certificate}.crt", "--key", keys / f"{certificate}.key", VERSION,
                       capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return "OK" if '"OK"' in done.stdout else done.stdout


def shown_certificate(node):
    done = node.inside("openssl", "s_client", "-connect", "127.0.0.1:50000", "-alpn", "h2", stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=20)
    return re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", done.stdout, re.S).group(0)
