"""What must never enter the root does not: each rule of image/root.py is provoked, alone."""

import os
import pathlib
import shutil
import stat
import subprocess

import debian
import pytest
import root
import rootlist


@pytest.fixture
def programs(tmp_path):
    """A folder with one harmless static program."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    subprocess.run(["cc", "-static", "-o", folder / "program", tmp_path / "main.c"], check=True)
    return folder


def build(tmp_path, programs, text):
    """The root that a root.list of `text` makes, checked as the image build does."""
    listing = tmp_path / "root.list"
    listing.write_text(text)
    made = root.Root(tmp_path / "root")
    made.add(rootlist.read([listing]), root.Sources({}, {"made": programs}))
    root.check(made.tree, made.files)
    return made


def refused(tmp_path, programs, text, reason):
    with pytest.raises(debian.Error) as error:
        build(tmp_path, programs, text)
    assert reason in str(error.value)


def test_a_listed_program_enters(tmp_path, programs):
    made = build(tmp_path, programs, "exec /usr/bin/program made:program\n")
    assert stat.S_IMODE((made.tree / "usr/bin/program").stat().st_mode) == 0o755


def test_an_executable_listed_as_data_is_refused(tmp_path, programs):
    refused(tmp_path, programs, "file /usr/share/data made:program\n", "an executable that is not listed as one")


@pytest.mark.parametrize("name", ["sh", "bash", "dash", "busybox"])
def test_a_listed_shell_is_refused_by_name(tmp_path, programs, name):
    refused(tmp_path, programs, f"exec /usr/bin/{name} made:program\n", "a shell")


@pytest.mark.parametrize("name", ["python3.11", "perl", "awk", "lua5.4"])
def test_a_listed_interpreter_is_refused_by_name(tmp_path, programs, name):
    refused(tmp_path, programs, f"exec /usr/bin/{name} made:program\n", "an interpreter")


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/dash"])
def test_a_renamed_shell_is_refused(tmp_path, shell):
    made = root.Root(tmp_path / "root")
    shutil.copy(shell, made.tree / "helper")
    with pytest.raises(debian.Error, match="a shell under another name"):
        root.check(made.tree, {"/helper": root.File("/helper", "made", executable=True)})


def test_a_script_is_refused(tmp_path, programs):
    (programs / "hook").write_text("#!/bin/sh\n")
    refused(tmp_path, programs, "exec /usr/lib/hook made:hook\n", "a script")
    refused(tmp_path, programs, "file /usr/lib/hook made:hook\n", "a script")


@pytest.mark.parametrize("mode", [0o4755, 0o2755])
def test_a_setuid_source_is_refused(tmp_path, programs, mode):
    (programs / "program").chmod(mode)
    refused(tmp_path, programs, "exec /usr/bin/program made:program\n", "setuid or setgid")


@pytest.mark.parametrize("mode", [0o4755, 0o2755])
def test_a_setuid_file_in_the_tree_is_refused(tmp_path, programs, mode):
    made = build(tmp_path, programs, "exec /usr/bin/program made:program\n")
    (made.tree / "usr/bin/program").chmod(mode)
    with pytest.raises(debian.Error, match="setuid"):
        root.check(made.tree, made.files)


def test_a_planted_file_is_refused(tmp_path, programs):
    made = build(tmp_path, programs, "exec /usr/bin/program made:program\n")
    (made.tree / "usr/bin/planted").write_text("data")
    with pytest.raises(debian.Error, match="/usr/bin/planted: not listed"):
        root.check(made.tree, made.files)


def test_an_executable_bit_on_data_is_refused(tmp_path, programs):
    (programs / "data").write_text("data")
    made = build(tmp_path, programs, "file /usr/share/data made:data\n")
    (made.tree / "usr/share/data").chmod(0o755)
    with pytest.raises(debian.Error, match="an executable that is not listed"):
        root.check(made.tree, made.files)


def test_a_device_node_is_refused(tmp_path, programs):
    made = build(tmp_path, programs, "exec /usr/bin/program made:program\n")
    os.mkfifo(made.tree / "fifo")
    with pytest.raises(debian.Error, match="neither file, directory nor link"):
        root.check(made.tree, made.files)


def test_a_missing_library_names_who_needs_it(tmp_path, programs):
    shutil.copy("/bin/ls", programs / "dynamic")
    refused(tmp_path, programs, "exec /usr/bin/dynamic made:dynamic\n", "/usr/bin/dynamic needs")


def test_a_missing_source_is_refused(tmp_path, programs):
    refused(tmp_path, programs, "exec /usr/bin/absent made:absent\n", "root.list:1: made has no absent")


def test_a_wrong_line_is_refused(tmp_path, programs):
    refused(tmp_path, programs, "exe /usr/bin/program made:program\n", "root.list:1: not an entry")
    refused(tmp_path, programs, "exec /usr/bin/program\n", "root.list:1: not an entry")


def test_a_path_that_enters_twice_is_refused(tmp_path, programs):
    refused(tmp_path, programs, "exec /usr/bin/program made:program\n" * 2, "enters twice")


def test_the_host_sources_are_read(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n\n"
        "Types: deb\nURIs: http://mirror.example/debian-security/\nSuites: bookworm-security\n")
    assert debian.host_mirrors(tmp_path) == ("http://mirror.example/debian", "http://mirror.example/debian-security")
    (tmp_path / "sources.list.d/debian.sources").unlink()
    (tmp_path / "sources.list").write_text("# deb http://no.example/debian x main\ndeb [arch=amd64] https://one.example/debian bookworm main\n")
    assert debian.host_mirrors(tmp_path) == ("https://one.example/debian", debian.DEFAULT_SECURITY)
