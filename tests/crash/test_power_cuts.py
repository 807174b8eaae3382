"""Power cuts in every step of an image's life, in the size for every day; nightly.py has the large one (docs/crash-tests.md)."""

import pathlib

import pytest

import explore
import explore_state
import flash
import forgetting
import installing
import real_boots
import resume
import scenarios
import states

WORK = pathlib.Path(__file__).resolve().parents[2] / "build/crash/ci"
BUDGET = states.Budget(subsets=100, torn=40)
NARROW, WIDE = 0, scenarios.WIDE
SOUND = [("upgrade", NARROW)] + [(name, WIDE) for name in ("bless", "bless-only", "rollback-trial", "rollback-good")]
WRONG = ["wrong-bless-only", "wrong-loader"]


def scenario(name: str, fillers: int) -> scenarios.Scenario:
    return next(each for each in scenarios.all_scenarios(fillers) + scenarios.counting(fillers) if each.name == name)


def run(name: str, fillers: int, keep: int = 0):
    recording = explore.record(WORK / f"{name}-{fillers}", scenario(name, fillers))
    report, kept = explore.explore(recording, BUDGET, keep)
    return recording, report, kept


def booted(recording, kept) -> real_boots.Outcome:
    outcome = real_boots.Outcome()
    real_boots.compare(kept, recording, WORK / "boots", outcome)
    return outcome


@pytest.mark.parametrize("name, fillers", SOUND)
def test_a_cut_at_any_write_leaves_a_node_that_boots_the_right_image(name, fillers):
    recording, report, kept = run(name, fillers, keep=1)
    assert report.bad() == 0, report.examples
    assert report.distinct >= (500 if name == "upgrade" else 8)
    outcome = booted(recording, kept)
    assert outcome.agreed == outcome.booted, outcome.differences


def test_a_table_that_grows_is_whole_throughout():
    sound, wrong = scenarios.growing()
    recording = explore.record(WORK / sound.name, sound)
    report, kept = explore.explore(recording, BUDGET, keep=1)
    assert report.bad() == 0 and report.distinct > 10, report.examples
    outcome = booted(recording, kept)
    assert outcome.agreed == outcome.booted, outcome.differences
    report, _ = explore.explore(explore.record(WORK / wrong.name, wrong), BUDGET)
    assert report.unbootable > 0


@pytest.mark.parametrize("name", WRONG)
def test_orders_that_are_known_to_be_wrong_are_found_out(name):
    _, report, _ = run(name, NARROW)
    assert report.unbootable > 0 and report.lost > 0


def test_the_loaders_own_counting_loses_nothing_inside_one_sector():
    _, report, _ = run("counting", NARROW)
    assert report.bad() == 0, report.examples


def test_over_two_sectors_the_loaders_counting_can_lose_the_name_and_then_the_image_before_runs():
    _, report, _ = run("counting", WIDE)
    assert report.bad() == 0, report.examples
    _, alone, _ = run("counting-only", WIDE)
    assert alone.unbootable > 0  # why the first image of a disk is good from the start


def test_a_cut_upgrade_is_carried_on():
    recording, _, _ = run("upgrade", NARROW)
    for state in resume.candidates(recording, BUDGET, 2):
        assert resume.again(state, recording, WORK / "resume") == ""


@pytest.mark.parametrize("name", ["config", "tried-config", "boots"])
def test_saved_state_is_old_or_new(name):
    recording = explore.record(WORK / name, explore_state.scenario(name))
    report = explore_state.run(recording, BUDGET, WORK / "ext4", most=30)
    assert report.bad() == 0 and report.damaged == 0, report.examples


def test_a_cut_installation_is_no_system_yet_or_all_of_it():
    case = installing.cases()[1]  # onto a disk that has a system
    recording = installing.record(WORK / case.name, case)
    report, kept = installing.explore_install(recording, states.Budget(subsets=10, torn=10), WORK / case.name, keep=3)
    assert report.bad() == 0 and not report.examples, report.examples
    assert report.untouched and report.no_table and report.installed
    outcome = booted(recording, kept)
    assert outcome.agreed == outcome.booted, outcome.differences


def test_a_promised_reset_is_found_until_it_is_done():
    recording = forgetting.record(WORK / "reset-keeping", "reset-keeping")
    report = forgetting.explore_reset(recording, states.Budget(subsets=10, torn=10), WORK / "reset-keeping", again=3)
    assert not report.examples, report.examples
    assert report.before and report.wishes and report.done and report.carried_out_well == 3


def test_a_cut_flip_of_the_boot_order_leaves_a_loader_first():
    report = flash.explore_flash(WORK / "flash", boots=1)
    assert report.wrong == 0 and report.agreed == report.booted == 1, report.examples
    assert report.old and report.new
    assert report.refused == flash.OLD  # a new loader that this firmware cannot load


def test_a_loader_that_the_firmware_refuses_costs_the_node_if_the_one_before_has_no_entry():
    wrong = scenarios.refused()
    report, _ = explore.explore(explore.record(WORK / wrong.name, wrong), BUDGET)
    assert report.unbootable > 0, "what `upgrade` shows of such a firmware would show nothing"
