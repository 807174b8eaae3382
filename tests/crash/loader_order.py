"""systemd-boot 257's entries: what a file's name says, and the order in which they are taken (see boot_model.py for the functions)."""

import dataclasses
import functools


@dataclasses.dataclass
class Entry:
    file: str  # as it is called now
    image: str | None  # None: something that cannot be loaded
    left: int = -1  # -1: not counted
    done: int = -1
    id: str = ""


def parse_name(name: str, image: str | None = None) -> Entry:
    entry = Entry(name, image, id=name.lower())
    stem, plus, counter = name.rpartition("+")
    if not plus or not counter.lower().endswith(".efi"):
        return entry
    left, dash, done = counter[:-4].partition("-")
    if not _is_number(left) or (dash and not _is_number(done)):
        return entry
    entry.left, entry.done, entry.id = int(left), int(done or 0), f"{stem}.efi".lower()
    return entry


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 1 << 31


def loader_order(entries: list[Entry]) -> list[Entry]:
    """An insertion sort as sort_pointer_array: the comparison is no total order, so the algorithm matters."""
    found: list[Entry] = []
    for entry in entries:
        at = len(found)
        while at > 0 and compare(found[at - 1], entry) > 0:
            at -= 1
        found.insert(at, entry)
    return found


def compare(a: Entry, b: Entry) -> int:
    difference = (a.left == 0) - (b.left == 0) or -compare_versions(a.id, b.id)
    if difference or a.left < 0 or b.left < 0:
        return difference
    return (b.left > a.left) - (b.left < a.left) or (a.done > b.done) - (a.done < b.done)


@functools.cache
def compare_versions(a: str, b: str) -> int:
    """strverscmp_improved: -1, 0 or 1."""
    while True:
        a, b = _drop_invalid(a), _drop_invalid(b)
        if a[:1] == "~" or b[:1] == "~":
            if a[:1] != b[:1]:
                return (a[0:1] != "~") - (b[0:1] != "~")
            a, b = a[1:], b[1:]
        if not a or not b:
            return bool(a) - bool(b)
        for separator in "-^.":
            if a[:1] == separator or b[:1] == separator:
                if a[:1] != b[:1]:
                    return (a[:1] != separator) - (b[:1] != separator)
                a, b = a[1:], b[1:]
        if a[:1].isdigit() or b[:1].isdigit():
            left, right = _leading(a, str.isdigit), _leading(b, str.isdigit)
            if bool(left) != bool(right):
                return bool(left) - bool(right)  # a number is newer than letters
            x, y = int(left), int(right)
        else:
            left, right = _leading(a, str.isalpha), _leading(b, str.isalpha)
            x, y = left, right
        if x != y:
            return 1 if x > y else -1
        a, b = a[len(left):], b[len(right):]


def _drop_invalid(text: str) -> str:
    while text and not (text[0].isascii() and (text[0].isalnum() or text[0] in "~-^.")):
        text = text[1:]
    return text


def _leading(text: str, wanted) -> str:
    end = 0
    while end < len(text) and text[end].isascii() and wanted(text[end]):
        end += 1
    return text[:end]
