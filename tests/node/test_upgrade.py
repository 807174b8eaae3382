"""UpgradeService on a node without slots: each verb says why it does nothing."""

import pytest


@pytest.mark.parametrize("words", [("rollback", "--dry-run"), ("upgrade", "confirm"), ("upgrade", "cancel")], ids=" ".join)
def test_without_slots_every_verb_is_refused(shared_node, words):
    result = shared_node.try_osctl(*words)
    assert result.returncode != 0
    assert "it has no slots" in result.stderr, result.stderr
