"""What crash_lab saves on STELE-STATE (lab_state.cc), save by save, as crash_check says it after a cut: old or new, never neither."""

import hashlib

KEPT_CONFIGS, KEPT_BOOTS, KEPT_FAILURES = 10, 20, 16


def config_text(number: int) -> str:
    return f"machine:\n  hostname: node-{number}\n" + "#" * (200 * number) + "\n"


def staged_text(number: int) -> str:
    return f"machine:\n  hostname: node-{number}\n"


def config_line(number: int, text: str) -> str:
    return f"{number} {hashlib.sha256(text.encode()).hexdigest()}"


def _boots(save: int) -> list[str]:
    """The (2n-1)th save begins the nth boot, the (2n)th ends it."""
    number = (save + 1) // 2
    return [f"{min(number, KEPT_BOOTS)} {number} {'running' if save % 2 else 'reboot'}"] if save else []


def _failures(save: int) -> tuple[str, str]:
    failed, record = (save + 1) // 2, save // 2
    return (f"{min(failed, KEPT_FAILURES)} " + (f"0.{failed}.0" if failed else ""), f"{record} " + (f"0.{record}.0" if record else ""))


def faults(scenario: str, found: dict[str, list[str]], least: int, most: int) -> list[str]:
    """What is wrong when the `least`-th save is promised and the `most`-th is the last that can have begun."""
    problems = [f"damaged: {line}" for line in found.get("damaged", [])]
    saves = range(least, most + 1)
    if scenario == "boots":
        if found.get("boots", []) not in [_boots(save) for save in saves]:
            problems.append(f"boots are {found.get('boots')}; saves {least} to {most} may be")
    elif scenario == "failures":
        if (found["failures"][0], found["record"][0]) not in [_failures(save) for save in saves]:
            problems.append(f"failures are {found['failures']}, the record {found['record']}; saves {least} to {most} may be")
    elif scenario == "staged-config":
        # Staged or promoted, at the next boot it counts, once Stage has returned. A cut between the saving and the removing of
        # what was staged saves it twice, which changes nothing: texts are compared, not numbers.
        newest = max(found.get("config", []), key=lambda line: int(line.split()[0]), default="0 none")
        allowed = {2} if most == 2 else {1, 2} if least == 1 else {0, 1}
        texts = {"none" if number == 0 else config_line(0, staged_text(number)).split()[1] for number in allowed}
        if newest.split()[1] not in texts:
            problems.append(f"generation {newest.split()[0]} is none of {sorted(allowed)}")
    elif scenario == "tried-config":
        # What counts in another boot. Numbers go on with every trial: texts are compared.
        newest = max(found.get("config", []), key=lambda line: int(line.split()[0]), default="0 none")
        texts = {"none" if number == 0 else config_line(0, staged_text(number)).split()[1] for number in saves}
        if newest.split()[1] not in texts:
            problems.append(f"generation {newest.split()[0]} is none of saves {least} to {most}")
    else:
        problems += _configs(found.get("config", []), least, most)
    return problems


def _configs(lines: list[str], least: int, most: int) -> list[str]:
    numbers = sorted(int(line.split()[0]) for line in lines)
    newest = max(numbers, default=0)
    problems = [] if least <= newest <= most else [f"generation {newest} is the newest; {least} to {most} may be"]
    problems += [f"generation {number} has another text" for number in numbers if config_line(number, config_text(number)) not in lines]
    if numbers and numbers != list(range(numbers[0], newest + 1)):
        problems.append(f"there are generations {numbers}")
    if len(numbers) < min(newest, KEPT_CONFIGS):
        problems.append(f"only generations {numbers} are left")
    return problems
