"""`osctl metrics`, read by Prometheus' own parsers, beside what `osctl get` says."""

import re
import subprocess

import node as node_module
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

PARSERS = {"openmetrics": openmetrics, "prometheus": prometheus}


def families(node, form="openmetrics"):
    done = node.try_osctl("metrics", "--format", form)
    assert done.returncode == 0, done.stderr
    return {family.name: family for family in PARSERS[form](done.stdout)}


def samples(family):
    return {tuple(sorted(sample.labels.items())): sample.value for sample in family.samples}


@pytest.mark.parametrize("form", PARSERS)
def test_a_parser_takes_every_line(shared_node, form):
    found = families(shared_node, form)
    assert len(found) > 25
    assert all(family.type != "unknown" and family.documentation for family in found.values()), found
    assert all(value == 1 for value in samples(found["stele_metrics_source_up"]).values())
    assert samples(found["stele_metrics_dropped_samples"]) == {(): 0}


def test_promtool_has_nothing_to_say(shared_node):
    text = shared_node.try_osctl("metrics", "--format", "prometheus").stdout
    assert "stele_service_restarts_total{" in text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_services_are_as_get_says(shared_node):
    found = families(shared_node)
    states = samples(found["stele_service_state"])
    services = shared_node.get("services")
    assert services
    for name, service in services.items():
        state = service["body"]["state"].removeprefix("SERVICE_STATE_").lower()
        assert states[("service", name), ("state", state)] == 1
        assert sum(value for labels, value in states.items() if ("service", name) in labels) == 1


def test_counters_only_grow(shared_node):
    before, after = families(shared_node), families(shared_node)
    counters = [name for name, family in before.items() if family.type == "counter"]
    assert {"stele_cpu_seconds", "stele_pressure_stalled_seconds", "stele_link_transferred_bytes", "stele_api_calls"} <= set(counters)
    for name in counters:
        earlier, later = samples(before[name]), samples(after[name])
        assert all(later.get(labels, 0) >= value for labels, value in earlier.items()), name


def test_calls_are_counted_by_how_they_ended(shared_node):
    get = "stele.machine.v1.ResourceService/Get"
    count = lambda code: samples(families(shared_node)["stele_api_calls"]).get((("code", code), ("method", get)), 0)
    found, missing = count("ok"), count("not_found")
    assert shared_node.try_osctl("get", "kernel", "running").returncode == 0
    assert shared_node.try_osctl("get", "kernel", "no-such-thing").returncode == 6
    assert (count("ok"), count("not_found")) == (found + 1, missing + 1)
    timed = [sample for sample in families(shared_node)["stele_api_call_duration_seconds"].samples if sample.labels["method"] == get]
    assert any(sample.labels.get("le") == "+Inf" and sample.value >= 2 for sample in timed)


def test_of_one_node_at_a_time(shared_node):
    done = shared_node.try_osctl("-n", "127.0.0.1:1,127.0.0.1:2", "metrics")
    assert done.returncode == 2 and "metrics are of one node" in done.stderr, done


def test_the_page_lists_what_there_is(shared_node):
    page = set(re.findall(r"^\| `(stele_\w+)`", (node_module.TOP / "docs/metrics.md").read_text(), re.M))
    table = (node_module.TOP / "src/machined/metrics/metric_table.cc").read_text()
    own = {"stele_api_calls", "stele_api_call_duration_seconds", "stele_metrics_source_up", "stele_metrics_dropped_samples"}
    assert page == set(re.findall(r'"(stele_\w+)"', table)) | own
    assert set(families(shared_node)) <= page
