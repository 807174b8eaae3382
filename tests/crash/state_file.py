"""A disk state as a file, for those who want one: what differs from the state before is written, and nothing else."""

import pathlib
import subprocess

import states


class StateFile:
    def __init__(self, space: states.Space, base: pathlib.Path, out: pathlib.Path):
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--sparse=always", base, out], check=True)
        self.path, self._space = out, space
        self._there = [-1] * (len(space.edges) - 1)
        self._opened = open(out, "r+b")

    def show(self, state: states.State) -> pathlib.Path:
        for atom, version in state.differences(self._there):
            self._opened.seek(self._space.edges[atom])
            self._opened.write(self._space.content(atom, version))
            self._there[atom] = version
        self._opened.flush()
        return self.path

    def close(self) -> None:
        """Removes it."""
        self._opened.close()
        self.path.unlink()
