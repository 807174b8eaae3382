"""osctl explain: what it says a change does, beside the node's own plan."""

import re
import subprocess

import node as node_module
import pytest

POD = "apiVersion: v1\\nkind: Pod\\nmetadata: {name: a}\\nspec: {containers: [{name: a, image: a}]}"
KUBECONFIG = "kind: Config\\nclusters: [{name: a, cluster: {server: 'https://a'}}]\\ncurrent-context: a"
# A change of each key that can be changed alone; a key below one of them is explained by it.
CHANGES = {
    "network.hostname": "{network: {hostname: another}}",
    "network.interfaces": "{network: {interfaces: [{name: eth7, addresses: [192.0.2.1/24]}]}}",
    "network.nameservers": "{network: {nameservers: [192.0.2.53]}}",
    "network.search": "{network: {search: [example.org]}}",
    "time.servers": "{time: {servers: [192.0.2.123]}}",
    "storage.disk": "{storage: {disk: /dev/vdz}}",
    "kubelet.kubeconfig": '{kubelet: {kubeconfig: "%s"}}' % KUBECONFIG,
    "kubelet.staticPods": '{kubelet: {staticPods: [{name: a, manifest: "%s"}]}}' % POD,
    "kubelet.clusterDNS": "{kubelet: {clusterDNS: [10.96.0.10]}}",
    "kubelet.clusterDomain": "{kubelet: {clusterDomain: example.org}}",
    "kubelet.nodeLabels": "{kubelet: {nodeLabels: {example.com/rack: a}}}",
    "kubelet.nodeIP": "{kubelet: {nodeIP: 192.0.2.10}}",
    "upgrade.deadline": "{upgrade: {deadline: 900}}",
    "upgrade.manual": "{upgrade: {manual: true}}",
    "upgrade.drainTimeout": "{upgrade: {drainTimeout: 60}}",
    "logging.sinks": "{logging: {sinks: [{name: a, endpoint: 'tcp://192.0.2.9:6514'}]}}",
    "api.roles": "{api: {roles: [{name: log-reader, methods: [LogService.ReadLog]}]}}",
    "install": "{storage: null, install: {disk: {model: a}}}",
}


def change_of(node, key):
    text = node.osctl("explain", key)
    return " ".join(re.search(r"^Change: +(.*(?:\n {10}.*)*)", text, re.M).group(1).split())


@pytest.mark.parametrize("key", CHANGES)
def test_what_a_change_does_is_what_the_node_plans(shared_node, key):
    plan = shared_node.osctl("patch", "--dry-run", "-p", CHANGES[key]).splitlines()
    told = change_of(shared_node, key)
    services = {match.group(1) for line in plan if (match := re.fullmatch(r"(?:start|stop|restart) (\w+)", line))}
    assert plan != ["nothing changes"]
    for name in services:
        assert name in told, plan
    for name in ("kubelet", "chronyd"):
        if f"restarts the {name}" in told or f"restarts {name}" in told:
            assert name in services, plan
    later = any("next boot" in line or "booted from a medium" in line for line in plan)
    assert later == ("next boot" in told), plan


def test_every_key_of_a_configuration_is_explained(shared_node):
    listed = [line.split()[0] for line in shared_node.osctl("explain", "-r").splitlines()]
    for key in ("apiVersion", "network.interfaces.routes.via", "install.disk.maxSize"):
        assert key in listed
    for key in listed:
        assert shared_node.osctl("explain", key).startswith(f"{key}  <")
    for kind in shared_node.get("types"):
        assert f"`osctl get " in shared_node.osctl("explain", kind) or kind == "time"


def test_explain_needs_no_node_and_no_context(tmp_path):
    done = subprocess.run([node_module.BIN / "osctl", "explain", "network.hostnmae"], env={"HOME": str(tmp_path)},
                          capture_output=True, text=True)
    assert done.returncode == 6 and "did you mean 'network.hostname'?" in done.stderr
