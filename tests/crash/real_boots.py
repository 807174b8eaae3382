"""A sample of states, booted: does OVMF with systemd-boot do what the model says?"""

import dataclasses
import pathlib

import explore
import firmware

STUCK_SECONDS = 20  # after which a firmware that started nothing never will: an image says its name within 5


@dataclasses.dataclass
class Outcome:
    booted: int = 0
    agreed: int = 0
    differences: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0


def compare(judged: list[explore.Judged], recording: explore.Recording, folder: pathlib.Path, outcome: Outcome) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    disk = folder / "state.raw"
    for each in judged:
        explore.write_state(each.state, recording.base, disk)
        # A broken name costs a start each time, so this takes longer than one start.
        boot = firmware.boot(folder, disk, list(each.loaders), STUCK_SECONDS if each.verdict.image is None else 60, reboot=False)
        ran = boot.images[0] if boot.images else None
        outcome.booted += 1
        outcome.seconds += boot.seconds
        if ran == each.verdict.image and not boot.torn:
            outcome.agreed += 1
        else:
            outcome.differences.append(f"{recording.scenario.name}: {ran}{' torn' if boot.torn else ''} ran, the model says {each.verdict.image} "
                                       f"{each.verdict.why} ({each.state.cut})")
    disk.unlink(missing_ok=True)
