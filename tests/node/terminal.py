"""osctl on a terminal: a pty, what a person would see on it, and keys."""

import codecs
import fcntl
import os
import re
import select
import signal
import struct
import termios
import time

import node as node_module

CONTROL = re.compile(r"\x1b\[(\?)?([0-9;]*)([A-Za-z])")


class Terminal:
    """Runs osctl in the node's network. Knows the sequences that osctl uses, and no others: an unknown one fails."""

    def __init__(self, node, *words, columns=120, rows=35, environment=None):
        self.controller, self.terminal = os.openpty()
        self.before = termios.tcgetattr(self.terminal)
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.waiting = ""
        self.other_screen = False
        self.cursor_shown = True
        self.wraps = True
        self.styles = set()
        self.written = 0
        self.size(columns, rows)
        command = ["nsenter", "-t", str(node.pid), "-n", str(node_module.BIN / "osctl"), *map(str, words)]
        env = node.environment() | {"TERM": "xterm-256color"} | (environment or {})
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(self.terminal, termios.TIOCSCTTY, 0)
            for fd in (0, 1, 2):
                os.dup2(self.terminal, fd)
            os.closerange(3, 256)
            os.execvpe(command[0], command, env)
        self.status = None

    def size(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0
        fcntl.ioctl(self.controller, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _control(self, private, numbers, letter):
        if private:
            on = letter == "h"
            assert letter in "hl", letter
            if numbers == "1049":
                self.other_screen = on
            elif numbers == "25":
                self.cursor_shown = on
            elif numbers == "7":
                self.wraps = on
            else:
                raise AssertionError(f"unknown mode {numbers}")
        elif letter == "H":
            self.row, self.column = (int(n) - 1 for n in numbers.split(";"))
        elif letter == "J":
            assert numbers == "2"
            self.cells = [[" "] * self.columns for _ in range(self.rows)]
        elif letter == "m":
            self.styles.add(numbers)
        else:
            raise AssertionError(f"unknown sequence {numbers}{letter}")

    def _write(self, text):
        text = self.waiting + text
        self.waiting = ""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = CONTROL.match(text, at)
                if found is None:
                    assert len(text) - at < 12, f"unknown sequence {text[at:at + 12]!r}"
                    self.waiting = text[at:]
                    return
                self._control(*found.groups())
                at = found.end()
                continue
            if text[at] == "\r":
                self.column = 0
            elif text[at] == "\n":
                self.row = min(self.row + 1, self.rows - 1)
            else:
                # Without wrapping the last column takes all that follows.
                if self.row < self.rows:
                    self.cells[self.row][min(self.column, self.columns - 1)] = text[at]
                self.column += 1
            at += 1

    def read(self, seconds=0.1):
        """Takes what osctl wrote; False once it has ended and all is read."""
        ready, _, _ = select.select([self.controller], [], [], seconds)
        if ready:
            data = os.read(self.controller, 65536)
            self.written += len(data)
            self._write(self.decoder.decode(data))
            return True
        return not self.ended()

    def ended(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid != 0:
                self.status = status
        return self.status is not None

    def lines(self):
        return ["".join(row).rstrip() for row in self.cells]

    def text(self):
        return "\n".join(self.lines())

    def wait(self, what, condition, timeout=60):
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if condition(self.text()):
                return self.text()
            if not self.read():
                break
        raise node_module.Failed(f"not on the screen: {what}; there is:\n{self.text()}\nended: {self.status}")

    def wait_for(self, words, timeout=60):
        return self.wait(words, lambda text: words in text, timeout)

    def press(self, keys):
        os.write(self.controller, keys.encode())

    def wait_end(self, timeout=30):
        """Its wait status."""
        until = time.monotonic() + timeout
        while self.read() or not self.ended():
            assert time.monotonic() < until, f"osctl does not end:\n{self.text()}"
        return self.status

    def assert_restored(self):
        assert not self.other_screen and self.cursor_shown and self.wraps
        assert termios.tcgetattr(self.terminal) == self.before

    def close(self):
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)
        if self.controller >= 0:
            os.close(self.controller)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
