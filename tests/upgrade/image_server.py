"""An HTTP or HTTPS server on loopback that serves one file, and misbehaves as its path says.

    /image                 whole, ranges kept
    /norange               whatever is asked for, all of it
    /cut/N                 closes the connection after N bytes of each answer
    /once/N                the same, but only the first answer
    /stall/N               says nothing more after N bytes, once
    /short/N               claims to be N bytes long
    /longer                has a tail that is not the image's
    /chunked/N             without a length; ends after N bytes of the first answer, as if that were all
    /changes/N             another file from N bytes on, from the second answer on
    /status/CODE           that
    /late/CODE/N           CODE, N times; then the image
    /redirect/N            N redirections, then the image
"""

import contextlib
import http.server
import re
import ssl
import subprocess
import threading


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, data, tls=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.tls = data, tls
        self.requests = []  # (path, offset asked for)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def port(self):
        return self.server_address[1]

    def url(self, path="/image", host="127.0.0.1"):
        return f"http{'s' if self.tls else ''}://{host}:{self.port}{path}"

    def handle_error(self, request, client_address):
        pass  # clients that leave are what is tested


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        found = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        offset = int(found[1]) if found else 0
        count = sum(1 for path, _ in self.server.requests if path == self.path)
        self.server.requests.append((self.path, offset))
        kind, *words = self.path.split("?")[0].strip("/").split("/")
        numbers = [int(word) for word in words]
        getattr(self, f"serve_{kind}", self.serve_image)(offset, count, *numbers)

    def serve_image(self, offset, _count=0, data=None, limit=None):
        data = self.server.data if data is None else data
        if offset and offset >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if offset else 200)
        if offset:
            self.send_header("Content-Range", f"bytes {offset}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - offset))
        self.end_headers()
        self.wfile.write(data[offset:][:limit])
        if limit is not None:
            self.close_connection = True
        return None

    def serve_norange(self, _offset, _count):
        self.serve_image(0)

    def serve_cut(self, offset, _count, size):
        self.serve_image(offset, limit=size)

    def serve_once(self, offset, count, size):
        self.serve_image(offset, limit=size if count == 0 else None)

    def serve_stall(self, offset, count, size):
        self.serve_image(offset, limit=size if count == 0 else None)
        if count == 0:
            self.wfile.flush()
            threading.Event().wait(30)

    def serve_short(self, offset, _count, size):
        self.serve_image(offset, data=self.server.data[:size])

    def serve_longer(self, offset, _count):
        self.serve_image(offset, data=self.server.data + b"tail" * 10_000)

    def serve_chunked(self, offset, count, size):
        if offset and offset >= len(self.server.data):
            return self.serve_image(offset)
        self.send_response(206 if offset else 200)
        if offset:
            end = len(self.server.data)
            self.send_header("Content-Range", f"bytes {offset}-{end - 1}/{end}")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        body = self.server.data[offset:][:size if count == 0 else None]
        for at in range(0, len(body), 50_000):
            piece = body[at:at + 50_000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")
        return None

    def serve_changes(self, offset, count, size):
        if count == 0:
            return self.serve_image(offset, limit=size)
        return self.serve_image(offset, data=self.server.data[:size] + bytes(len(self.server.data) - size))

    def serve_status(self, _offset, _count, code):
        self.send_error(code)

    def serve_late(self, offset, count, code, times):
        self.send_error(code) if count < times else self.serve_image(offset)

    def serve_redirect(self, offset, _count, times):
        if times == 0:
            return self.serve_image(offset)
        self.send_response(302)
        self.send_header("Location", f"/redirect/{times - 1}")
        self.send_header("Content-Length", "0")
        return self.end_headers()


class Tls:
    """A CA, and a server's certificate for 127.0.0.1 and 10.0.2.2; both began long ago, as a machine's clock may be some seconds late."""

    CONFIG = """
[ca]
default_ca = test
[test]
new_certs_dir = {folder}
database = {folder}/index
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:TRUE
[server]
subjectAltName = IP:127.0.0.1, IP:10.0.2.2
[req]
distinguished_name = name
[name]
"""

    def __init__(self, folder):
        self.folder, self.config = folder, folder / "openssl.cnf"
        self.ca, self.certificate, self.key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
        self.config.write_text(self.CONFIG.format(folder=folder))
        (folder / "index").touch()
        authority_key = self._request("ca", "/CN=test CA")
        self._request("server", "/CN=server")
        self._sign("ca", "authority", "-selfsign", "-keyfile", authority_key)
        self._sign("server", "server", "-keyfile", authority_key, "-cert", self.ca)

    def _openssl(self, *words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    def _request(self, name, subject):
        key = self.folder / f"{name}.key"
        self._openssl("req", "-config", self.config, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-subj", subject, "-keyout", key, "-out", self.folder / f"{name}.csr")
        return key

    def _sign(self, name, extensions, *words):
        self._openssl("ca", "-batch", "-notext", "-config", self.config, "-startdate", "20200101000000Z",
                      "-enddate", "20491231235959Z", "-extensions", extensions, *words,
                      "-in", self.folder / f"{name}.csr", "-out", self.folder / f"{name}.pem")


@contextlib.contextmanager
def serve(data, tls=None):
    server = Server(data, tls)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
