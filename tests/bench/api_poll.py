"""Asks a node for its version again and again, and remembers when it did not answer."""

import pathlib
import threading
import time

import grpc

VERSION = "/stele.machine.v1.SystemService/Version"
EVERY = 0.05
PATIENCE = 0.5  # an answer that takes longer is none; the next question goes out on a new connection


class Poll:
    """A context: polls while it lasts. Connections are kept while they work, as those of any client are."""

    def __init__(self, address: str, keys: pathlib.Path):
        self._address = address
        read = lambda name: (keys / name).read_bytes()
        self._credentials = grpc.ssl_channel_credentials(read("server-ca.crt"), read("admin.key"), read("admin.crt"))
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers: list[float] = []  # when each came, by time.monotonic()
        self.longest = 0.0  # that an answer took

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def gaps(self, begin: float, end: float, least: float = 0.25) -> list[float]:
        """Seconds between two answers one after the other, of those that lie between the times, longest first."""
        times = [begin, *(t for t in self.answers if begin <= t <= end), end]
        return sorted((b - a for a, b in zip(times, times[1:]) if b - a >= least), reverse=True)

    def _run(self):
        channel = None
        while not self._end.is_set():
            began = time.monotonic()
            try:
                if channel is None:
                    channel = grpc.secure_channel(self._address, self._credentials, [("grpc.use_local_subchannel_pool", 1)])
                channel.unary_unary(VERSION)(b"", timeout=PATIENCE)
                self.answers.append(time.monotonic())
                self.longest = max(self.longest, self.answers[-1] - began)
            except grpc.RpcError:
                channel.close()
                channel = None
            self._end.wait(max(0.0, EVERY - (time.monotonic() - began)))
        if channel is not None:
            channel.close()
