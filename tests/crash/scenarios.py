"""What is recorded and what must hold: the disk before, and after each mark which image may run and which may not be lost.

A is the image that runs and is good, B the one that is upgraded to, O an older one that B replaces. Loaders are V1, the
one that boots the node, and V2, a newer one.
"""

import dataclasses
import functools
import hashlib

import boot_model
import firmware
import lab_disk
from lab_disk import LOADER, Image, Layout

WIDE = 10  # fillers with which a counted name lies over the edge of a sector
TRIES_AND_ONE = 4  # boot entries of an installed node for its loader
REFUSING = boot_model.Firmware(frozenset({"V2"}), fallback=False)  # the new loader is not for this firmware


@dataclasses.dataclass(frozen=True)
class Phase:
    """From one mark to the next. A state that can be met in several phases must hold in each."""
    mark: str
    runs: frozenset[str]  # images that may run
    whole: frozenset[str]  # images that must be whole under some name
    counted: bool | None = None  # whether what runs must, or must not, be on trial; None: either


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    lab: str  # what crash_lab calls it; "" when the firmware is recorded
    layout: Layout
    phases: tuple[Phase, ...]
    loaders: tuple[tuple[str, ...], ...] = ((LOADER,) * TRIES_AND_ONE,)  # BootOrders that the node may have
    loaders_before: str = ""  # the mark before which only the first of them is possible
    firmwares: tuple[boot_model.Firmware, ...] = (boot_model.OVMF,)  # each must boot each state; the first is the one here
    sound: bool = True  # False: a wrong order, in which bad states must be found


def phase(mark: str, runs: str, whole: str, counted: bool | None = None) -> Phase:
    return Phase(mark, frozenset(runs), frozenset(whole), counted)


@functools.cache
def image(name: str) -> Image:
    return lab_disk.image(name, reset=name == "B")


def new_loader() -> bytes:
    """Another version: the same program with bytes behind its last section, which firmware loads as gladly."""
    return firmware.loader() + b"another version".ljust(512, b"\0")


def new_loader_path() -> str:
    return f"EFI/systemd/boot-{hashlib.sha256(new_loader()).hexdigest()[:8]}.efi"


def flipped() -> tuple[str, ...]:
    """BootOrder while the new loader is on trial: the one before is behind it (loader_trial.h)."""
    return (new_loader_path(),) * TRIES_AND_ONE + (LOADER,)


def refused() -> Scenario:
    """A wrong order: the new loader's entries alone, as they were made once, on a firmware that refuses it."""
    upgrade = all_scenarios()[0]
    return dataclasses.replace(upgrade, name="wrong-order", loaders=(upgrade.loaders[0], flipped()[:TRIES_AND_ONE]), firmwares=(REFUSING,), sound=False)


def layout(fillers: int = 0, **names: str) -> Layout:
    """layout(A="stele-2.efi", B="stele-3.efi"): A's root is in slot A, the other's in B."""
    found = tuple((file, image(name)) for name, file in names.items())
    other = [name for name in names if name != "A"]
    return Layout(found, image("A") if "A" in names else None, image(other[0]) if other else None, fillers)


def all_scenarios(fillers: int = 0) -> list[Scenario]:
    """Scenarios of the ESP. `fillers` moves the directory's entries towards, and over, the edge of a sector."""
    wrong = functools.partial(Scenario, sound=False)
    return [
        Scenario("upgrade", "upgrade", layout(fillers, O="stele-1.efi", A="stele-2.efi"),
                 (phase("begin", "A", "A", False), phase("stage", "A", "A", False), phase("stage-done", "A", "AB", False),
                  phase("activate", "AB", "AB"), phase("activate-done", "B", "AB", True)),
                 loaders=((LOADER,) * TRIES_AND_ONE, flipped()), loaders_before="flip", firmwares=(boot_model.OVMF, REFUSING)),
        Scenario("bless", "bless", layout(fillers, A="stele-2.efi", B="stele-3+2-1.efi"),
                 (phase("begin", "B", "AB", True), phase("bless", "B", "AB"), phase("bless-done", "B", "AB", False))),
        Scenario("bless-only", "bless", layout(fillers, B="stele-3+2-1.efi"),
                 (phase("begin", "B", "B", True), phase("bless", "B", "B"), phase("bless-done", "B", "B", False))),
        Scenario("rollback-trial", "rollback-trial", layout(fillers, A="stele-2.efi", B="stele-3+2-1.efi"),
                 (phase("begin", "B", "AB", True), phase("failed", "AB", "AB"), phase("failed-done", "A", "AB", False))),
        Scenario("rollback-good", "rollback-good", layout(fillers, A="stele-2.efi", B="stele-3.efi"),
                 (phase("begin", "B", "AB", False), phase("retry", "AB", "AB"), phase("retry-done", "A", "AB", True))),
        wrong("wrong-bless", "wrong-bless", layout(fillers, A="stele-2.efi", B="stele-3+2-1.efi"),
              (phase("begin", "B", "AB"), phase("wrong", "B", "AB"), phase("wrong-done", "B", "AB"))),
        wrong("wrong-bless-only", "wrong-bless", layout(fillers, B="stele-3+2-1.efi"),
              (phase("begin", "B", "B"), phase("wrong", "B", "B"), phase("wrong-done", "B", "B"))),
        wrong("wrong-loader", "wrong-loader", layout(fillers, A="stele-2.efi"),
              (phase("begin", "A", "A"), phase("wrong", "AB", "A"), phase("wrong-done", "B", "AB"))),
    ]


def growing() -> list[Scenario]:
    """A disk that is larger than the image that was written onto it."""
    larger = dataclasses.replace(layout(A="stele-2.efi"), size=lab_disk.DISK_SIZE + 256 * lab_disk.MIB)
    return [Scenario("grow", "grow", larger, (phase("begin", "A", "A", False), phase("grow", "A", "A", False), phase("grown", "A", "A", False))),
            Scenario("wrong-grow", "wrong-grow", larger, (phase("begin", "A", "A"),), sound=False)]


SLOTS_IN_SECTOR = 16


def counting(fillers: int = 0) -> list[Scenario]:
    """Scenarios of the loader's own writes: it counts B, which never comes up, down to A.

    OVMF's rename is one write for each directory sector it touches. Inside one sector nothing is lost; over two a cut can lose the
    name. Then A runs, which is right; but an image that is all there is must not be counted, and that is kept as a
    scenario in which unbootable states must be found."""
    # `.`, `..`, two slots for A, two for B's first name, three for the next while that is still there; and three more for the one
    # after it, as the two that are free by then are too few.
    narrow = 2 + fillers + 2 + 2 + 3 + 3 <= SLOTS_IN_SECTOR
    found = [Scenario("counting", "", layout(fillers, A="stele-2.efi", B="stele-3+3.efi"), (phase("begin", "AB", "AB" if narrow else "A"),))]
    if narrow or fillers == WIDE:
        # Nothing else is there: once its tries are over it is started all the same, so A powers off.
        found.append(Scenario("counting-only", "", layout(fillers, A="stele-1+3.efi"), (phase("begin", "A", "A"),), sound=narrow))
    return found
