"""QEMU's monitor; https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html."""

import contextlib
import json
import pathlib
import socket
import time


@contextlib.contextmanager
def connected(path: pathlib.Path, timeout: float = 10):
    """Yields (socket, stream), past QEMU's greeting and with its commands on."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        stream = connection.makefile("rw")
        stream.readline()
        ask(stream, "qmp_capabilities")
        yield connection, stream


def ask(stream, command: str, **arguments) -> dict:
    stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    stream.flush()
    while "event" in (answer := json.loads(stream.readline())):
        pass
    return answer


@contextlib.contextmanager
def events(path: pathlib.Path):
    """Yields wait(name, seconds) → seconds since now until QEMU told of that event, such as RESET or SHUTDOWN."""
    began = time.monotonic()
    with connected(path) as (connection, stream):

        def wait(name: str, seconds: float) -> float:
            connection.settimeout(seconds)
            for line in stream:
                if json.loads(line).get("event") == name:
                    break
            return time.monotonic() - began

        yield wait
