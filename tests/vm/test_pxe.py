"""From the network onto the disk: OVMF fetches the medium by TFTP, and osctl installs it."""

from installing import from_medium, wait_disk_boots


def test_from_pxe_to_the_disk():
    with from_medium("pxe", medium="pxe") as node:
        node.wait_api(300)
        node.osctl("install", "--disk", "/dev/vda", "--reboot", "--yes", timeout=300)
        wait_disk_boots(node)
