"""What `osctl get` says of the kernel and the machine, beside what the machine's own files and tools say."""

import json
import os
import pathlib
import subprocess
import threading

import node as node_module
import pytest

# Read on demand; each is listed by `osctl get types`, too. True: every machine has some.
TYPES = {"certificates": True, "cgroups": True, "conntrack": False, "cpus": True, "diskhealth": False, "disks": False, "keptlogs": False, "kernel": True,
         "linkcounters": True, "memory": True, "modules": False, "mounts": True, "neighbours": False, "partitions": False,
         "pcidevices": False, "pressure": True, "processes": True, "sensors": False, "sockets": True, "sysctls": True,
         "usbdevices": False, "watchdogs": False}


@pytest.mark.parametrize("kind", TYPES)
def test_every_form_of_every_type(shared_node, kind):
    assert kind in shared_node.get("types")
    found = shared_node.get(kind)
    assert found or not TYPES[kind]
    for form in ("table", "wide", "yaml", "name"):
        done = shared_node.try_osctl("get", kind, "-o", form)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) >= len(found) // 2 or not found
    assert shared_node.try_osctl("get", kind, "no-such-thing").returncode == 6


def test_the_kernel(shared_node):
    body = shared_node.get("kernel")["running"]["body"]
    assert body["release"] == os.uname().release and body["architecture"] == os.uname().machine
    assert body["commandLine"] == pathlib.Path("/proc/cmdline").read_text().strip()


def test_memory_and_processors(shared_node):
    body = shared_node.get("memory")["node"]["body"]
    told = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in open("/proc/meminfo")}
    assert int(body["totalBytes"]) == told["MemTotal"]
    assert abs(int(body["availableBytes"]) - told["MemAvailable"]) < told["MemTotal"] / 5
    cpus = shared_node.get("cpus")
    assert len(cpus) == os.cpu_count()
    busy = lambda: float(shared_node.get("cpus")["cpu0"]["body"]["user"].rstrip("s"))
    before = busy()
    shared_node.wait("time goes by", lambda: busy() >= before)


def test_sysctls_without_secrets(shared_node):
    found = shared_node.get("sysctls")
    assert found["kernel.ostype"]["body"]["value"] == "Linux"
    assert found["net.ipv4.conf.lo.accept_local"]["body"]["value"] in ("0", "1")
    for name in found:
        assert "stable_secret" not in name and "fastopen_key" not in name


def test_a_dot_in_an_interfaces_name_is_a_slash_as_in_sysctl(node):
    node.inside("ip", "link", "add", "a.b", "type", "veth", "peer", "name", "c", check=True)
    names = node.get("sysctls")
    assert "net.ipv4.conf.a/b.forwarding" in names


def test_sockets_and_who_has_them(shared_node):
    program = "import socket,time; s=socket.create_server(('127.0.0.1', 4711)); c=socket.create_connection(('127.0.0.1',4711)); " \
              "u=socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.bind(('::1', 4712)); print('up', flush=True); time.sleep(60)"
    with shared_node.popen_inside("/usr/bin/python3", "-c", program, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            found = [item["body"] for item in shared_node.get("sockets").values()]
        finally:
            process.kill()
    by = {(s["protocol"], s["local"], s["state"]): s for s in found}
    assert ("tcp", "127.0.0.1:4711", "listen") in by
    assert ("udp6", "[::1]:4712", "open") in by
    assert any(s["protocol"] == "tcp" and s["remote"] == "127.0.0.1:4711" and s["state"] == "established" for s in found)
    api = by["tcp6", "*:50000", "listen"]
    assert api["process"] == "init" and api["pid"] == 1  # it keeps the socket over restarts of apid


def test_neighbours_and_counters(node):
    for command in (("ip", "link", "add", "here", "type", "veth", "peer", "name", "there"), ("ip", "link", "set", "here", "up"),
                    ("ip", "link", "set", "there", "up"), ("ip", "addr", "add", "192.0.2.1/24", "dev", "here"),
                    ("ip", "neigh", "add", "192.0.2.7", "lladdr", "02:00:00:00:00:07", "dev", "here")):
        node.inside(*command, check=True)
    told = json.loads(node.inside("ip", "-j", "neigh", "show", "dev", "here", check=True, capture_output=True).stdout)
    assert [entry["dst"] for entry in told] == ["192.0.2.7"]
    body = node.get("neighbours")["192.0.2.7@here"]["body"]
    assert body["hardwareAddress"] == "02:00:00:00:00:07" and body["state"] == "permanent" and body["link"] == "here"
    node.inside("/usr/bin/python3", "-c", "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
                "[s.sendto(b'x'*1000, ('192.0.2.7', 9)) for _ in range(50)]", check=True)
    counters = node.get("linkcounters")["here"]["body"]
    assert int(counters["sentPackets"]) >= 50 and int(counters["sentBytes"]) >= 50_000


def test_control_groups(shared_node):
    found = shared_node.get("cgroups")
    assert "system/machined" in found and "system/apid" in found
    usage = lambda: float(shared_node.get("cgroups")["system/machined"]["body"]["cpu"].rstrip("s"))
    before = usage()
    shared_node.wait("machined works", lambda: usage() > before)


def test_certificates_and_no_key(shared_node):
    text = shared_node.osctl("get", "certificates", "-o", "yaml")
    assert "PRIVATE" not in text
    found = shared_node.get("certificates")
    server = found["api-server/1"]["body"]
    assert server["valid"] and not server.get("authority") and "127.0.0.1" in server["names"]
    assert found["api-clients/1"]["body"]["authority"]
    pem = shared_node.folder / "keys" / "client-ca.crt"
    told = subprocess.run(["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", pem], capture_output=True, text=True, check=True).stdout
    assert found["api-clients/1"]["body"]["fingerprint"] == told.split("=")[1].strip().replace(":", "").lower()


def test_disks(shared_node):
    found = shared_node.get("disks")
    told = {name: int(pathlib.Path("/sys/block", name, "size").read_text()) * 512 for name in os.listdir("/sys/block")}
    assert {name: int(item["body"]["sizeBytes"]) for name, item in found.items()} == {name: size for name, size in told.items() if size}


def test_files_that_a_process_has_open(node):
    apid = node.services()["apid"]["pid"]
    count = lambda: node.get("processes")[str(apid)]["body"]["openFiles"]
    before = count()
    script = "import socket,sys,time; k=[socket.create_connection(('127.0.0.1',50000)) for _ in range(20)]; print('up',flush=True); time.sleep(30)"
    with node.popen_inside("/usr/bin/python3", "-c", script, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            node.wait("apid has 20 more", lambda: count() >= before + 20, timeout=4)
        finally:
            process.kill()


def change_other_than(passed_over, watch):
    while (line := watch.stdout.readline()).startswith(passed_over):
        pass
    return line.split()[0]


def test_conditions_are_checked_by_the_node(node):
    names = lambda selector, kind="services": node.osctl("get", kind, "--field-selector", selector, "-o", "name").split()
    node.wait("apid is ready", lambda: node.services()["apid"].get("ready"))
    assert names("id=apid,state=running") == ["services/apid"]
    assert "services/apid" not in names("state!=running")
    assert names("local=*:50000,state=listen", "sockets")[0].startswith("sockets/")
    assert names("id=kernel.os*", "sysctls") == ["sysctls/kernel.osrelease", "sysctls/kernel.ostype"]
    done = node.try_osctl("get", "services", "--field-selector", "stat=running")
    assert done.returncode == 1 and "did you mean state?" in done.stderr, done
    # Of a watch, what no longer fits goes.
    with node.popen_inside(node_module.BIN / "osctl", "get", "services", "-w", "--field-selector", "id=udevd,state=running", env=node.environment(),
                           stdout=subprocess.PIPE, text=True) as watch:
        try:
            timer = threading.Timer(20, watch.kill)
            timer.start()
            assert "CHANGE" in watch.stdout.readline() and "ADDED" in watch.stdout.readline()
            node.osctl("service", "stop", "udevd")
            assert change_other_than("MODIFIED", watch) == "DELETED"
            node.osctl("service", "start", "udevd")
            assert change_other_than("MODIFIED", watch) == "ADDED"
            timer.cancel()
        finally:
            watch.kill()


def test_a_template_picks(shared_node):
    found = shared_node.get("services")
    text = shared_node.osctl("get", "services", "-o", 'jsonpath={range .items[*]}{.id}{"\t"}{.body.pid}{"\n"}{end}')
    assert text.splitlines() == [f"{name}\t{item['body']['pid']}" for name, item in sorted(found.items())]
    assert shared_node.osctl("get", "kernel", "running", "-o", "jsonpath={.body.release}") == os.uname().release
    done = shared_node.try_osctl("get", "services", "-o", "jsonpath={.items[}")
    assert done.returncode == 2 and "expected a number" in done.stderr, done


def test_a_watch_tells_what_changes(node):
    with node.popen_inside(node_module.BIN / "osctl", "get", "linkcounters", "-w", "-o", "name", env=node.environment(),
                           stdout=subprocess.PIPE, text=True) as watch:
        try:
            assert watch.stdout.readline().strip() == "linkcounters/lo"
            node.inside("ip", "link", "add", "new", "type", "veth", "peer", "name", "newer", check=True)
            seen = ""
            timer = threading.Timer(15, watch.kill)
            timer.start()
            while "linkcounters/new" not in seen:
                line = watch.stdout.readline()
                assert line, "the watch ended without the new interface"
                seen += line
            timer.cancel()
        finally:
            watch.kill()
