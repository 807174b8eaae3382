"""The API of a whole node, seen from the network: another's client, roles, a flood, apid's own footprint."""

import json
import pathlib
import subprocess

import pytest

import node as node_module

TOP = pathlib.Path(__file__).resolve().parents[2]
CLIENT = TOP / "tests/api/list_services.py"
CALLER = TOP / "tests/api/call_each.py"
ROLES = ("reader", "operator", "admin")

# Run inside the node's network namespace: connections that say nothing, and some that begin a handshake.
FLOOD = """
import socket, sys, time
hello = bytes.fromhex(sys.argv[1])
kept = []
for i in range(2500):
    s = socket.create_connection(("127.0.0.1", 50000), source_address=("127.0.0.2", 0))
    if i % 5 == 0:
        s.send(hello)
    kept.append(s)
print("flooded", flush=True)
time.sleep(6)
def gone(s):
    s.setblocking(False)
    try:
        while s.recv(4096):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True
print(sum(not gone(s) for s in kept))
"""


def list_services(node, certificate="admin"):
    keys = node.folder / "keys"
    return node.inside("/usr/bin/python3", CLIENT, "--node", "127.0.0.1:50000", "--ca", keys / "server-ca.crt",
                       "--cert", keys / f"{certificate}.crt", "--key", keys / f"{certificate}.key",
                       capture_output=True, text=True, timeout=60)


def methods():
    return json.loads((node_module.BIN.parent / "proto/methods.json").read_text())


def call_each(node, paths, certificate):
    keys = node.folder / "keys"
    shown = ["--cert", keys / f"{certificate}.crt", "--key", keys / f"{certificate}.key"] if certificate else []
    done = node.inside("/usr/bin/python3", CALLER, "--node", "127.0.0.1:50000", "--ca", keys / "server-ca.crt", *shown, *paths,
                       capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_python_client_lists_services(shared_node):
    done = list_services(shared_node)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["health"] == "SERVING"
    assert {"stele.machine.v1.ResourceService", "stele.machine.v1.SystemService", "stele.machine.v1.LogService"} <= set(seen["services"])
    running = {r["id"]: r["body"] for r in seen["resources"]}
    assert running["apid"]["state"] == "SERVICE_STATE_RUNNING"


def test_every_method_of_the_node_is_in_the_table(shared_node):
    """What machined serves and what apid lets through are the same services."""
    ours = {m["path"].split("/")[1] for m in methods()}
    assert set(json.loads(list_services(shared_node).stdout)["services"]) == ours


@pytest.mark.parametrize("role", ROLES)
def test_roles_on_a_whole_node(shared_node, role):
    """What a role may not do is refused, whatever the metadata says; what readers may do, each role may.

    The verbs of operators and administrators are called in src/apid/roles_test.cc, where nothing reboots.
    """
    shared_node.run_osctl("gen", "client", "--role", role, "--name", f"some-{role}", "-o", shared_node.folder / "keys")
    denied = [m["path"] for m in methods() if ROLES.index(m["role"]) > ROLES.index(role)]
    allowed = [m["path"] for m in methods() if m["role"] == "reader"]
    seen = call_each(shared_node, denied + allowed, f"some-{role}")
    assert {path: seen[path] for path in denied} == {path: "PERMISSION_DENIED" for path in denied}
    refused = {path: seen[path] for path in allowed if seen[path] in ("PERMISSION_DENIED", "UNAUTHENTICATED", "UNAVAILABLE")}
    assert not refused


@pytest.mark.parametrize("usage", ["none", "server", "both"])
def test_a_certificate_for_something_else_is_refused(shared_node, usage):
    shared_node.run_osctl("gen", "client", "--usage", usage, "--name", f"for-{usage}", "-o", shared_node.folder / "keys")
    paths = [m["path"] for m in methods()]
    assert call_each(shared_node, paths, f"for-{usage}") == {path: "UNAVAILABLE" for path in paths}


def test_without_a_certificate_nothing_answers(shared_node):
    paths = [m["path"] for m in methods()]
    assert call_each(shared_node, paths, None) == {path: "UNAVAILABLE" for path in paths}


def test_strangers_do_not_keep_a_client_out(node):
    import ssl
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="node").do_handshake()
    except ssl.SSLWantReadError:
        pass
    flood = node.popen_inside("/usr/bin/python3", "-c", "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\n" + FLOOD,
                              outgoing.read().hex(), stdout=subprocess.PIPE, text=True)
    served = 0
    while flood.poll() is None:
        node.osctl("version", "--timeout", "5s")
        served += 1
    out = flood.stdout.read().split()
    assert out == ["flooded", "0"], "strangers that were not shown out within 5 s"
    assert served > 10
    node.osctl("version")


def test_apid_has_given_up_what_it_does_not_need(shared_node):
    (pid,) = shared_node.pids("apid")
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    assert status["Uid"].split()[0] == "900"
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    assert status["Threads"].strip() == "1"

    def idle_kilobytes():
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        return int(dict(line.split(":", 1) for line in rollup)["Pss"].split()[0])

    shared_node.wait("apid's memory below 3 MB", lambda: idle_kilobytes() < 3072, 15)
