"""A line between osctl and a node that stalls or breaks at given bytes of what osctl sends.

    with bad_line.between(node.machine.port, bad_line.cut, [1000, 5000000]) as line:
        ... osctl -n 127.0.0.1:{line.port} ...

Bytes are counted over all connections, so a point that lies behind what was lost is reached by the connection that goes on.
"""

import contextlib
import socket
import struct
import threading
import time

PIECE = 64 << 10


class Line:
    def __init__(self, target, fault, points):
        self._target, self._fault, self._points = target, fault, sorted(points)
        self._lock = threading.Lock()
        self._sent = 0
        self._still_until = 0.0
        self.connections = 0
        self.faults = []  # the bytes at which they came
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def stand_still(self, seconds):
        self._still_until = time.monotonic() + seconds

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                node = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._pump, args=(client, node, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(node, client, False), daemon=True).start()

    def _pump(self, source, target, counted):
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                time.sleep(max(0.0, self._still_until - time.monotonic()))
                if not counted:
                    target.sendall(data)
                    continue
                for piece, fault in self._split(data):
                    target.sendall(piece)
                    if fault:
                        self._fault(self, source, target)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _split(self, data):
        """`data` in pieces that end where a fault is due, and whether it is."""
        with self._lock:
            begin, self._sent = self._sent, self._sent + len(data)
            due = [point for point in self._points if point < self._sent]
            self._points = self._points[len(due):]
            self.faults += due
        at = 0
        for point in due:
            yield data[at:point - begin], True
            at = point - begin
        yield data[at:], False


def stall(seconds):
    """Nothing passes for so long, in either direction; no byte is lost."""

    def fault(line, source, target):
        line.stand_still(seconds)
        time.sleep(seconds)

    return fault


def cut(line, source, target):
    """The connection is gone, every other time without a farewell; what was under way is lost."""
    for end in (source, target):
        if len(line.faults) % 2:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()  # RST
        else:
            end.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError("cut")


@contextlib.contextmanager
def between(target, fault, points):
    line = Line(target, fault, points)
    try:
        yield line
    finally:
        line.close()
