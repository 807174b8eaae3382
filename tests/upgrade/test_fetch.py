"""An image from a URL: the node's own staging, the confined wget, and a real server that does what servers do."""

import os
import pathlib
import shutil
import subprocess

import image_server
import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = TOP / "build/release/bin"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="fetch gives root up, so it wants it first"),
    pytest.mark.skipif(not pathlib.Path("/usr/bin/wget").exists(), reason="wget is not installed (image/packages-host)"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A node's folder, the file that follows its image, the program, and a server's keys; where user 903 may go."""
    folder = pathlib.Path("/tmp") / f"stele-fetch-{os.getpid()}"
    folder.mkdir(mode=0o755)
    subprocess.run([BIN / "stage_driver", "make", folder / "node"], check=True)
    shutil.copy(BIN / "applets", folder / "fetch")
    keys = folder / "keys"
    keys.mkdir()
    yield folder, (folder / "node/image").read_bytes(), image_server.Tls(keys)
    shutil.rmtree(folder)


class Fetched:
    def __init__(self, made, url, ca=None):
        self.folder = made[0] / "try"
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(made[0] / "node", self.folder)
        self.again(made, url, ca)

    def again(self, made, url, ca=None):
        words = [BIN / "fetch_driver", self.folder, made[0] / "fetch", url] + ([ca] if ca else [])
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == "", done.stderr
        self.lines = done.stdout.splitlines()
        self.code, self.end = done.returncode, self.lines[-1]
        return self

    def waits(self):
        return [line for line in self.lines if line.startswith("waits ") and line != "waits "]

    def is_staged(self, image):
        uki = sorted(path.name for path in (self.folder / "esp/EFI/Linux").iterdir())
        return self.code == 0 and "staged" in self.lines[-2] and uki == ["stele-1.efi", "stele-2.new"]

    def nothing_boots(self):
        return [path.name for path in (self.folder / "esp/EFI/Linux").glob("*.efi")] == ["stele-1.efi"]


@pytest.mark.parametrize("path", ["/image", "/image?token=x%20y&z=1", "/norange", "/redirect/5", "/longer", "/chunked/10000000"])
def test_an_image_is_staged(made, path):
    with image_server.serve(made[1]) as server:
        fetched = Fetched(made, server.url(path))
        assert fetched.is_staged(made[1]) and not fetched.waits(), fetched.lines


# At twenty points: in the header, between parts, in the middle of each, and just before the end.
CUTS = [1, 15, 16, 300, 4095, 4096, 4097, 8000, 10240, 12288, 20000, 65536, 100000, 131072, 163840, 200000, 300000, 400000, 500000, 560000]


@pytest.mark.parametrize("cut", CUTS)
def test_a_connection_cut_once_resumes_where_it_broke(made, cut):
    with image_server.serve(made[1]) as server:
        fetched = Fetched(made, server.url(f"/once/{cut}"))
        assert fetched.is_staged(made[1]), fetched.lines
        # Zeros fill the header up to 4096.
        assert cut <= server.requests[1][1] <= max(cut, 4096), "the second request asks for what is missing and no more"


def test_a_server_that_always_cuts_is_used_as_long_as_it_brings_something(made):
    with image_server.serve(made[1]) as server:
        fetched = Fetched(made, server.url("/cut/30000"))
        assert fetched.is_staged(made[1]), fetched.lines
        assert len(server.requests) > 15
        few = Fetched(made, server.url("/cut/100"))
        assert few.code == 1 and few.end.startswith("ABORTED") and "given up after 4 tries in a row" in few.end, few.end
        assert few.nothing_boots()


def test_a_length_that_was_never_told_is_not_believed(made):
    with image_server.serve(made[1]) as server:
        fetched = Fetched(made, server.url("/chunked/100000"))
        assert fetched.is_staged(made[1]), fetched.lines
        assert [offset for _, offset in server.requests] == [0, 100000]


def test_a_stalled_server_is_left(made):
    with image_server.serve(made[1]) as server:
        fetched = Fetched(made, server.url("/stall/200000"))
        assert fetched.is_staged(made[1]) and any("no byte came for 2s" in line for line in fetched.waits()), fetched.lines


@pytest.mark.parametrize("code", [408, 429, 500, 503])
def test_what_passes_is_waited_for(made, code):
    with image_server.serve(made[1]) as server:
        fetched = Fetched(made, server.url(f"/late/{code}/2"))
        assert fetched.is_staged(made[1]) and len(fetched.waits()) == 2 and str(code) in fetched.waits()[0], fetched.lines


def test_what_was_staged_is_not_fetched_again(made):
    with image_server.serve(made[1]) as server:
        fetched = Fetched(made, server.url())
        server.requests.clear()
        assert fetched.again(made, server.url("/cut/10000")).is_staged(made[1]), fetched.lines
        assert len(server.requests) == 1, "the header is all that is asked for"


@pytest.mark.parametrize(("path", "code", "text"), [
    ("/status/404", "NOT_FOUND", "the server answers 404: Not Found"),
    ("/status/403", "FAILED_PRECONDITION", "the server answers 403: Forbidden"),
    ("/status/401", "FAILED_PRECONDITION", "login"),
    ("/status/503", "ABORTED", "503: Service Unavailable, at byte 0; given up after 4 tries in a row"),
    ("/redirect/6", "FAILED_PRECONDITION", "redirections exceeded"),
    ("/short/10", "INVALID_ARGUMENT", "not an image file: it ends after 10 bytes"),
    ("/short/300", "INVALID_ARGUMENT", "the image file is cut: it ends after 300 bytes"),
    ("/short/200000", "DATA_LOSS", "the file ends after 200000 bytes; its header says"),
    ("/changes/200000", "DATA_LOSS", ""),
])
def test_for_good(made, path, code, text):
    with image_server.serve(made[1]) as server:
        fetched = Fetched(made, server.url(path))
        assert fetched.code == 1 and fetched.end.startswith(code) and text in fetched.end, fetched.lines
        assert fetched.nothing_boots()


def test_what_is_no_image(made):
    with image_server.serve(b"<html>not here</html>" * 100) as server:
        assert Fetched(made, server.url()).end.startswith("INVALID_ARGUMENT")
    flipped = bytearray(made[1])
    flipped[-5000] ^= 1
    with image_server.serve(bytes(flipped)) as server:
        fetched = Fetched(made, server.url())
        assert fetched.end.startswith("DATA_LOSS") and fetched.nothing_boots(), fetched.end


def test_https(made):
    tls = made[2]
    with image_server.serve(made[1], tls) as server:
        assert Fetched(made, server.url(), tls.ca).is_staged(made[1])
        assert Fetched(made, server.url("/once/300000"), tls.ca).is_staged(made[1])
        unknown = Fetched(made, server.url())
        assert unknown.end.startswith("PERMISSION_DENIED") and "not trusted" in unknown.end, unknown.end
        name = Fetched(made, server.url(host="localhost"), tls.ca)
        assert name.end.startswith("PERMISSION_DENIED") and "localhost" in name.end, name.end
        plain = Fetched(made, f"http://127.0.0.1:{server.port}/image")
        assert plain.end.startswith("ABORTED"), plain.end


def test_nobody_answers(made):
    with image_server.serve(b"") as server:
        port = server.port
    refused = Fetched(made, f"http://127.0.0.1:{port}/image")
    assert refused.end.startswith("ABORTED") and "Connection refused" in refused.end, refused.end
    unknown = Fetched(made, "http://no-such-host.invalid/image")
    assert unknown.end.startswith("ABORTED") and "no-such-host.invalid" in unknown.end, unknown.end


@pytest.mark.parametrize("url", ["", "ftp://host/x", "http://", "http:///x", "http://:80/x", "http://user:word@host/x", "http://host/a b",
                                 "http://host/\n--post-file=/etc/shadow", "file:///etc/passwd", "http://h/" + "x" * 2048])
def test_what_is_no_url(made, url):
    assert Fetched(made, url).end.startswith("INVALID_ARGUMENT")


def test_the_program_that_fetches_can_do_nothing_else(made):
    """A file of root's as CA, and what the process may be seen to have while it waits."""
    folder, image, _ = made
    with image_server.serve(image) as server:
        process = subprocess.Popen([folder / "fetch", "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(server.url("/stall/1000").encode() + b"\n")
        process.stdin.close()
        assert process.stdout.read(100)
        status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines() if ":\t" in line)
        try:
            assert status["Name"] == "wget"
            assert status["Uid"].split() == ["903"] * 4 and status["Gid"].split() == ["903"] * 4 and status["Groups"].strip() == ""
            assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapAmb"], 16) == 0
            assert status["NoNewPrivs"] == "1"
            limits = pathlib.Path(f"/proc/{process.pid}/limits").read_text()
            assert "Max file size             0                    0" in limits
            assert "token" not in pathlib.Path(f"/proc/{process.pid}/cmdline").read_text()
        finally:
            process.kill()
            process.wait()
