"""After a cut in the middle of staging the node stages again, on what the cut left: does that end as without a cut?"""

import pathlib
import random

import boot_model
import debian
import explore
import lab
import states
import write_log


def candidates(recording: explore.Recording, budget: states.Budget, most: int) -> list[states.State]:
    """States from before the activation; half of them with an ESP that is damaged as a file system, where there are such."""
    epochs = recording.epochs()
    marks = [text for epoch in epochs for _, text in epoch.marks]
    space = states.Space(recording.base, epochs, budget)
    model = boot_model.Model(explore.known(), space.size)
    before = [state for state in states.Enumerator(space, budget).states() if state.highest <= marks.index("activate")]
    damaged = [state for state in before if not model.esp_is_sound(state)]
    choose = random.Random(budget.seed)
    found = choose.sample(damaged, min(len(damaged), most // 2))
    return found + choose.sample(before, most - len(found))


def again(state: states.State, recording: explore.Recording, folder: pathlib.Path) -> str:
    """Carries out the upgrade on that state; what is wrong afterwards, "" when it ended as it should."""
    folder.mkdir(parents=True, exist_ok=True)
    disk, log = folder / "state.raw", folder / "log"
    explore.write_state(state, recording.base, disk)
    try:
        lab.record(folder, recording.scenario.lab, disk, explore.payload(), log)
    except debian.Error as error:
        return f"{error} ({state.cut})"
    after = states.Space(disk, write_log.epochs([]), states.Budget(0, 0))
    verdict = boot_model.Model(explore.known(), after.size).judge(whole_disk(after), [*recording.scenario.loaders[0]])
    disk.unlink()
    if verdict.image != "B" or not verdict.counted or verdict.fallback != "A" or verdict.broken:
        return f"ended with {verdict} ({state.cut})"
    return ""


def whole_disk(space: states.Space) -> states.State:
    return next(states.Enumerator(space, states.Budget(0, 0)).states())
