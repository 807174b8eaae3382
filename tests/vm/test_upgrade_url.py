"""A node that fetches its next image itself, through QEMU's network, whoever looks on."""

import signal
import sys

import harness
import pytest
import variants

sys.path.insert(0, str(harness.TOP / "tests" / "upgrade"))

import image_server  # noqa: E402

WAIT = 420
GUEST = "10.0.2.2"  # the host's loopback, as QEMU's user network shows it


@pytest.fixture(scope="module")
def node():
    with harness.node("upgrade-url", firmware="ovmf", lifetime=1200) as made:
        made.wait_api(180)
        made.wait_service("kubelet")
        yield made


def upgrade(node):
    return node.get("upgrades")["current"]["body"]


def test_an_image_from_a_url(node, tmp_path):
    image = variants.make("good", "0.2.0").read_bytes()
    tls = image_server.Tls(tmp_path)
    with image_server.serve(image, tls) as server:
        refused = node.try_osctl("upgrade", "--url", server.url(host=GUEST), "--stage-only", "--yes")
        assert refused[0] == 1 and "not trusted" in refused[2] and "--ca" in refused[2], refused
        # The connection breaks after each 40 MB; the client dies before; the node goes on.
        words = ("upgrade", "--url", server.url("/cut/40000000", host=GUEST), "--ca", tls.ca, "--stage-only", "--yes")
        client = node.popen(*words)
        node.wait_for("the node fetches", lambda: upgrade(node)["state"] == "UPGRADE_STATE_STAGING", 60)
        client.send_signal(signal.SIGKILL)
        client.wait()
        node.wait_for("it is staged", lambda: upgrade(node)["state"] == "UPGRADE_STATE_STAGED", WAIT)
        # The header; from behind the loader, which the node has already; and twice from where it broke.
        offsets = [offset for path, offset in server.requests if path.startswith("/cut")]
        assert offsets == [0, offsets[1], offsets[1] + 40_000_000, offsets[1] + 80_000_000], offsets
        # Again: only the header is asked for.
        server.requests.clear()
        told = node.try_osctl("upgrade", "--url", server.url(host=GUEST), "--ca", tls.ca, "--yes", timeout=WAIT)
        assert told[0] == 0 and "was there already" in told[2], told
        assert len(server.requests) == 1
    slot = next(slot["body"] for slot in node.get("slots").values() if slot["body"].get("running"))
    assert (slot["version"], slot["state"]) == ("0.2.0", "SLOT_STATE_GOOD"), slot
