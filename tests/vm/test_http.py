"""From a web server: OVMF asks by DHCP for an address and for what to load, fetches the medium by HTTP, and osctl installs it."""

import contextlib
import re

import harness
import http_boot
from installing import from_medium, wait_disk_boots


def test_from_http_into_memory_and_to_the_disk():
    with contextlib.ExitStack() as ends:

        def serve(node):
            node.network = ends.enter_context(http_boot.network(node.folder, harness.IMAGE / "pxe"))
            node.machine.options.link = node.network.link

        with from_medium("http", medium="http", before=serve, lifetime=600) as node:
            node.wait_api(300)
            assert not node.boots()[-1].get("slot"), node.boots()
            assert not node.machine.disk().stat().st_blocks, "it runs from memory"
            assert "vendor class: HTTPClient:Arch:00016" in node.network.dhcp_log.read_text()
            assert requests(node) == [("HEAD", "200"), ("GET", "200")], "by HTTP, once"

            node.osctl("install", "--disk", "/dev/vda", "--reboot", "--yes", timeout=300)
            wait_disk_boots(node)
            assert len(requests(node)) == 2, "the disk comes before the network"


def requests(node):
    return re.findall(rf'"(\w+) /{http_boot.PROGRAM} HTTP/1.1" (\d+)', node.network.http_log.read_text())
