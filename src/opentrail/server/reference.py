"""Writes the pages of the docs that are facts of the code: settings, command line, limits, and what is built.

    python -m opentrail.server.reference docs/reference

Also renews the table between its markers in the README two folders up, when there is one. Deterministic: tests compare
what it makes with what is checked in. Knows the server's wiring and models; changes nothing but these files.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from opentrail.model.load import load_models
from opentrail.model.shapes import Operation
from opentrail.server.cli import main as command_line
from opentrail.server.config import flag, variable
from opentrail.server.reference_limits import Limit, limits
from opentrail.server.reference_tests import shown_tests
from opentrail.server.wiring import SERVICES
from opentrail.service import Service
from opentrail.settings import is_hidden, setting_fields

GENERATED = "<!-- Written by `make docs`; do not edit. -->\n"
BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"
"""What stands between these in the README is generated."""
HELP_WIDTH = 100
"""Columns of the help texts."""
_VERB = re.compile(r"([A-Z][a-z]+)(.*)")


def pages() -> dict[str, str]:
    """File name → text of every generated page."""
    return {
        "settings.md": settings_page(),
        "cli.md": cli_page(),
        "limits.md": limits_page(),
        "coverage.md": coverage_page(),
    }


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "".join(_line(cells) for cells in (head, ["---"] * len(head), *rows))


def _line(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |\n"


def settings_page() -> str:
    """Option, variable, TOML key, default and meaning of each setting."""
    rows = [
        (f"`{flag(name)}`", f"`{variable(name)}`", f"`{name}`", _default(default), text)
        for name, default, text in setting_fields()
        if not isinstance(default, bool) and not is_hidden(name)
    ]
    switches = [
        (f"`{flag(name)}`, `{flag('no-' + name)}`", f"`{variable(name)}`", f"`{name}`", _default(default), text)
        for name, default, text in setting_fields()
        if isinstance(default, bool) and not is_hidden(name)
    ]
    return (
        f"# Settings\n\n{GENERATED}\n"
        "Every setting of `opentrail serve` can be given in three places. The command line wins over the environment,\n"
        "the environment over the TOML file (`--config FILE`), the file over the default.\n\n"
        + table(("Option", "Environment variable", "TOML key", "Default", "Meaning"), [*rows, *switches])
        + "\nDurations are a number with `ms`, `s`, `m`, `h` or `d`; a bare number is seconds. TOML keys may also be\n"
        "written with `-` for `_`. A key that is no setting is an error.\n"
    )


def _default(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        minutes, seconds = divmod(value, 60)
        hours, left = divmod(minutes, 60)
        return f"`{hours:g}h`" if not (left or seconds) else f"`{minutes:g}m`" if not seconds else f"`{value:g}s`"
    return f"`{value}`" if str(value) else "none"


def cli_page() -> str:
    """The help text of each command, as the program prints it."""
    parts = [f"# Command line\n\n{GENERATED}"]
    for path, command in _commands(command_line, ("opentrail",)):
        context = click.Context(command, info_name=" ".join(path), terminal_width=HELP_WIDTH)
        parts.append(f"\n## {' '.join(path)}\n\n```text\n{command.get_help(context)}\n```\n")
    return "".join(parts)


def _commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from _commands(inner, (*path, name))


def limits_page() -> str:
    """Every named bound, by the module that holds to it."""
    rooms: dict[str, list[Limit]] = {}
    for limit in limits():
        rooms.setdefault(limit.module.split(".")[1], []).append(limit)
    parts = [
        f"# Limits\n\n{GENERATED}\n"
        "Everything is bounded. These are the named constants that end in `_MAX`; where AWS has a limit of its own, it is\n"
        "AWS's. What a request runs into is AWS's error for it.\n"
    ]
    for room, found in sorted(rooms.items()):
        rows = [(f"`{limit.module.split('.', 1)[1]}.{limit.name}`", limit.value, limit.meaning) for limit in found]
        parts.append(f"\n## {room}\n\n" + table(("Constant", "Value", "Meaning"), rows))
    return "".join(parts)


def coverage_page() -> str:
    """Every operation of the built services: does it work, and how does the record tell it?"""
    parts = [
        f"# What is built\n\n{GENERATED}\n"
        "Every operation of every AWS model has a name here, is routed, checked for its signature and permission, and\n"
        "recorded. Those not built answer `NotImplemented` (501) in the service's protocol, and the record says so.\n"
        "Event name, category and readOnly are those of the record. The tests are those that call the operation, as they\n"
        "say themselves.\n\n" + table(("Service", "Built", "Of"), [_count(service) for service in SERVICES.values()])
    ]
    for service in SERVICES.values():
        operations = load_models().service(service.name).operations
        rows = [_coverage_row(service, operation) for _, operation in sorted(operations.items())]
        head = ("Operation", "", "Event name", "Category", "readOnly", "What it does", "Tests")
        parts.append(f"\n## {_called(service)}\n\n" + table(head, rows))
    return "".join(parts)


def _called(service: Service) -> str:
    return load_models().service(service.name).service_id


def _count(service: Service) -> tuple[str, str, str]:
    operations = load_models().service(service.name).operations
    return _called(service), str(len(service.handlers)), str(len(operations))


def _coverage_row(service: Service, operation: Operation) -> tuple[str, ...]:
    handler = service.handlers.get(operation.name)
    facts = operation.facts
    described = "" if handler is None else _first_line(handler.__doc__)
    tested = "" if handler is None else shown_tests(service.name, operation.name, is_shared(operation.name))
    return (
        operation.name,
        "NotImplemented" if handler is None else "works",
        facts.event_name,
        facts.category,
        "true" if facts.read_only else "false",
        described,
        tested,
    )


def is_shared(operation: str) -> bool:
    """Is there an operation of that name in several of the built services?"""
    return sum(operation in load_models().service(name).operations for name in SERVICES) > 1


def _first_line(doc: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((doc or "").strip().split("\n\n")[0].split())


def readme_table() -> str:
    """What works today, service by service: what there is, and what can be done with it."""
    rows = []
    for service in SERVICES.values():
        name, built, total = _count(service)
        rows.append((name, f"{built} of {total}", ", ".join(_by_noun(sorted(service.handlers)))))
    return table(("Service", "Operations", "Built"), rows)


def _by_noun(names: Sequence[str]) -> Iterator[str]:
    """`GetObject`, `PutObject` → `Object (Get, Put)`; a plural counts for its singular."""
    split = [found.groups() for name in names if (found := _VERB.fullmatch(name))]
    nouns = {noun for _, noun in split}
    verbs: dict[str, list[str]] = {}
    for verb, noun in split:
        one = next((known for known in (noun[:-3] + "y", noun[:-2], noun[:-1]) if known in nouns), noun)
        verbs.setdefault(one, []).append(verb)
    for noun, all_verbs in sorted(verbs.items()):
        doings = ", ".join(dict.fromkeys(all_verbs))
        yield f"{noun} ({doings})" if noun else doings


def renew_between_markers(text: str) -> str:
    """The README with its table as it is now; raises ValueError if the markers are not there."""
    head, _, rest = text.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise ValueError(f"the markers {BEGIN} and {END} are missing")
    return f"{head}{BEGIN}\n{readme_table()}{END}{tail}"


def main(arguments: Sequence[str]) -> None:
    """Write the pages into the directory named, and the table into the README above it."""
    directory = Path(arguments[0])
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text)
    readme = directory.resolve().parents[1] / "README.md"
    if readme.exists():
        readme.write_text(renew_between_markers(readme.read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
