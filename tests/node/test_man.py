"""osctl's manual pages, as man and groff read them."""

import shutil
import subprocess

import node as node_module
import pytest


@pytest.mark.skipif(shutil.which("man") is None or shutil.which("groff") is None, reason="this machine lacks man and groff (man-db)")
def test_manual_pages_have_no_warnings(tmp_path):
    subprocess.run([node_module.BIN / "osctl", "gen", "man", tmp_path], check=True)
    pages = sorted(tmp_path.glob("*.1"))
    assert len(pages) > 50 and tmp_path / "osctl-config-apply.1" in pages
    for page in pages:
        for command in (["groff", "-ww", "-z", "-man", "-Tutf8"], ["man", "--warnings", "-Tutf8", "-l"]):
            done = subprocess.run([*command, page], capture_output=True, text=True, env={"LC_ALL": "C.UTF-8", "MANWIDTH": "80", "PATH": "/usr/bin:/bin"})
            assert done.returncode == 0 and done.stderr == "", f"{command} {page.name}: {done.stderr}"
    shown = subprocess.run(["man", "-l", tmp_path / "osctl-patch.1"], capture_output=True, text=True,
                           env={"LC_ALL": "C.UTF-8", "MANWIDTH": "100", "PATH": "/usr/bin:/bin"}, check=True).stdout
    # What is typed stays what is typed: no typographic quotes or dashes.
    assert "osctl patch -p '{network: {hostname: worker-1}}'" in shown
