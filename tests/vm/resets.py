"""The resets of a machine, while the test is busy with something else.

    with resets.counted(node.machine) as seen:
        node.osctl("upgrade", ...)
    assert seen.resets == 4

`at_reset` is called at each one with the machine standing still: what ran before has ended in order, and the firmware has not
begun. Only one may listen to a machine's monitor at a time.
"""

import contextlib
import json
import socket
import threading

import qmp


class Seen:
    def __init__(self):
        self.resets = 0
        self.watchdog = 0  # of them by the hardware watchdog
        self.failed = None  # what `at_reset` raised


@contextlib.contextmanager
def counted(machine, at_reset=None):
    seen, over = Seen(), threading.Event()
    with qmp.connected(machine.folder / "qmp.sock") as (connection, stream):
        listener = threading.Thread(target=_listen, args=(connection, stream, seen, over, at_reset))
        listener.start()
        try:
            yield seen
        finally:
            over.set()
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            listener.join()
    if seen.failed:
        raise seen.failed


def _listen(connection, stream, seen, over, at_reset):
    connection.settimeout(None)
    try:
        for line in stream:
            event = json.loads(line).get("event")
            seen.watchdog += event == "WATCHDOG"
            seen.resets += event == "RESET"
            if event == "RESET" and at_reset and not seen.failed:
                qmp.ask(stream, "stop")
                try:
                    at_reset()
                except Exception as error:  # told to whoever waits for the machine
                    seen.failed = error
                qmp.ask(stream, "cont")
    except (OSError, ValueError):
        if not over.is_set():
            seen.failed = seen.failed or AssertionError("QEMU's monitor went away")
