"""`osctl support`: one file with all that explains a node, and no secret."""

import json
import tarfile

import pytest


@pytest.fixture()
def bundle(shared_node, tmp_path):
    file = tmp_path / "case.tar.gz"
    done = shared_node.try_osctl("support", "-f", str(file), "--lines", "200")
    assert done.returncode == 0, done.stderr
    assert "look through it before you give it away" in done.stderr and file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as archive:
        return {member.name.split("/", 1)[1]: archive.extractfile(member).read().decode() for member in archive.getmembers()}


def test_it_holds_everything_that_get_and_logs_show(shared_node, bundle):
    for kind in shared_node.get("types"):
        found = json.loads(bundle[f"resources/{kind}.json"])
        assert all(resource["type"] == kind for resource in found)
    for name in shared_node.get("services"):
        assert f"logs/{name}.log" in bundle
    # In namespaces the kernel's log is the host's, and init's is in it.
    assert "logs/init.log: " in bundle["summary.txt"]
    assert "machined starts" in bundle["logs/machined.log"]
    assert "decision=allow" in bundle["logs/audit.log"]
    assert json.loads(bundle["version.json"])["stele"]
    assert bundle["metrics.txt"].endswith("# EOF\n")
    assert all(json.loads(line)["kind"] for line in bundle["events.jsonl"].splitlines()) and bundle["events.jsonl"]
    assert bundle["config.yaml"] == shared_node.osctl("config", "get")


def test_the_summary_names_every_file_and_what_is_missing(bundle):
    told = [line.split(": ")[0] for line in bundle["summary.txt"].splitlines() if "not there" not in line]
    assert sorted(told) == sorted(name for name in bundle if name != "summary.txt")


def test_no_key_is_in_it(bundle):
    for name, text in bundle.items():
        assert "PRIVATE KEY" not in text, name
    assert "(secret)" in bundle["config.yaml"]


def test_a_node_that_does_not_answer_is_told_and_leaves_no_file(shared_node, tmp_path):
    file = tmp_path / "case.tar.gz"
    done = shared_node.try_osctl("-n", "127.0.0.1:1", "support", "-f", str(file))
    assert done.returncode != 0 and "127.0.0.1:1" in done.stderr
    assert list(tmp_path.iterdir()) == []
