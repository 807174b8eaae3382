"""Fixtures of the node tests: one node for the tests that only look, a fresh one for the others."""

import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import node as node_module  # noqa: E402

MISSING = node_module.missing_capability()


def pytest_collection_modifyitems(items):
    if MISSING is not None:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=f"this machine lacks {MISSING}; tests/vm run the same on a machine of their own"))


def folder(name):
    folder = node_module.WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def shared_node():
    """A node that no test changes."""
    with node_module.Node(folder("shared")) as node:
        yield node.wait_api()


@pytest.fixture
def node(request):
    """A node of the test's own."""
    with node_module.Node(folder(request.node.name)) as own:
        yield own.wait_api()
