"""The rules of the house that no other tool checks. Every message names the remedy."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from opentrail.server.wiring import SERVICES

ROOT = Path(__file__).parents[1]
FUNCTION_LINES_MAX = 60
FILE_LINES_MAX, FILE_LINES_AIM = 600, 400
ANY_SHARE_MAX = 0.04
"""Parameters annotated with `Any`, of all parameters in src."""
NO_ANY = ("call.py", "ports.py")
"""The nouns and the sockets: no parameter of theirs is `Any`."""
BROAD_EXCEPT = {
    "server/gate.py": "a defect of ours becomes a recorded InternalError",
    "server/loops.py": "a follower that falls is started again at its cursor",
    "followers/executions.py": "a follower outlives its plugs: a mistake in an action becomes the action's result",
    "followers/rules_outbox.py": "a follower outlives its plugs: a mistake in a target becomes a failed delivery",
    "followers/topics_lanes.py": "a courier outlives any message: a mistake becomes a failed delivery",
}
"""Where everything may be caught, and why."""
PURE_ROOMS = ("wire", "access", "record", "match", "pipeline", "rows", "model")
CLOCKS = re.compile(
    r"time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|localtime|sleep)"
    r"|(datetime\.)?(datetime|date)\.(now|utcnow|today)"
)
TIMES_OF_NOW = frozenset({"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "localtime", "sleep"})
LEFT_OVER = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:wo" + r"rk|home|root|Users)/")
TEXT_FILES = ("*.py", "*.md", "*.toml", "*.json", "*.in", "*.lock", "*.svg", "Makefile", "run")
OURS = ("src", "tests", "bench", "examples", "docs", "requirements", ".ci")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _python(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def _functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(_tree(path)) if isinstance(node, Function))


def _where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def _report(faults: list[str], remedy: str) -> None:
    if faults:
        pytest.fail("\n".join([remedy, *faults]), pytrace=False)


def test_functions_fit_on_a_screen():
    faults = []
    for path in _python("src", "tests", "bench", "examples"):
        for node in _functions(path):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                faults.append(f"{_where(path, node.lineno)}: {node.name} has {lines} lines")
    _report(faults, f"Functions of more than {FUNCTION_LINES_MAX} lines: take a step out and give it a name.")


def test_files_have_one_subject():
    faults = []
    for path in _python("src", "tests", "bench", "examples"):
        lines = path.read_text().count("\n")
        if lines > FILE_LINES_MAX:
            faults.append(f"{_where(path, 1)}: {lines} lines")
    remedy = f"Files of more than {FILE_LINES_MAX} lines (aim at {FILE_LINES_AIM}): split them by subject, not by size."
    _report(faults, remedy)


def test_modules_say_what_they_are_for():
    faults = [
        _where(path, 1)
        for path in _python("src", "bench", "examples")
        if len((ast.get_docstring(_tree(path)) or "").split()) < 3
    ]
    _report(faults, "Modules without a docstring: say what it is for, and what it must not know.")


def test_nothing_is_left_for_later():
    faults = _lines_with(LEFT_OVER)
    _report(faults, "Notes for later in the code: do it now, open an issue, or say in the docs what is not built.")


def test_no_machine_is_special():
    faults = _lines_with(MACHINE_PATH)
    _report(faults, "Paths of one machine: use a temporary directory, a setting or an environment variable.")


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{_where(path, number)}: {line.strip()[:100]}"
        for path in _texts()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def _texts() -> list[Path]:
    here = [path for path in ROOT.iterdir() if path.is_file() and any(path.match(name) for name in TEXT_FILES)]
    below = [path for room in OURS for name in TEXT_FILES for path in (ROOT / room).rglob(name) if path.is_file()]
    return sorted({*here, *below})


def test_errors_are_caught_by_name():
    faults = []
    for path in _python("src"):
        if str(path.relative_to(ROOT / "src/opentrail")) in BROAD_EXCEPT:
            continue
        faults += [_where(path, node.lineno) for node in _handlers(path) if _broad(node) and not _raises_again(node)]
    remedy = "Broad except: name the errors you expect. Only these may catch everything: " + ", ".join(BROAD_EXCEPT)
    _report(faults, remedy)


def test_errors_are_not_swallowed():
    faults = [_where(path, node.lineno) for path in _python("src") for node in _handlers(path) if _silent(node)]
    remedy = (
        "Silent except: return or raise something, log it, or use contextlib.suppress with a comment that says why."
    )
    _report(faults, remedy)


def _handlers(path: Path) -> Iterator[ast.ExceptHandler]:
    return (node for node in ast.walk(_tree(path)) if isinstance(node, ast.ExceptHandler))


def _broad(node: ast.ExceptHandler) -> bool:
    if node.type is None:
        return True
    names = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(ast.unparse(name) in ("Exception", "BaseException") for name in names)


def _raises_again(node: ast.ExceptHandler) -> bool:
    """Tidies up and lets the error go on."""
    last = node.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _silent(node: ast.ExceptHandler) -> bool:
    return all(isinstance(step, ast.Pass) or _is_ellipsis(step) for step in node.body)


def _is_ellipsis(step: ast.stmt) -> bool:
    return isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant)


def test_imports_stand_at_the_top():
    faults = [
        _where(path, inner.lineno)
        for path in _python("src")
        for node in _functions(path)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    _report(
        faults, "Imports inside functions: move them to the top; if that makes a circle, the file is in the wrong room."
    )


def test_pure_rooms_do_not_ask_what_time_it_is():
    faults = []
    for path in _python(*(f"src/opentrail/{room}" for room in PURE_ROOMS)):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Attribute) and CLOCKS.fullmatch(ast.unparse(node)):
                faults.append(f"{_where(path, node.lineno)}: {ast.unparse(node)}")
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                faults += [_where(path, node.lineno) for name in node.names if name.name in TIMES_OF_NOW]
    _report(faults, "A pure room reads a clock: let the caller pass the time in.")


def test_any_is_rare():
    total, found = 0, []
    for path in _python("src"):
        for node in _functions(path):
            for argument in _arguments(node):
                total += 1
                if argument.annotation is not None and ast.unparse(argument.annotation) == "Any":
                    found.append((path, argument))
    in_nouns = [_where(path, argument.lineno) for path, argument in found if path.name in NO_ANY]
    _report(in_nouns, f"`Any` as a parameter in {' or '.join(NO_ANY)}: name the type; everybody depends on these.")
    share = len(found) / total
    message = f"{share:.1%} of all parameters are `Any`, more than {ANY_SHARE_MAX:.0%}: give some of them their type."
    assert share <= ANY_SHARE_MAX, message


def _arguments(node: Function) -> list[ast.arg]:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [argument for argument in every if argument.arg not in ("self", "cls")]


def test_operations_are_described():
    """The first line of a handler's docstring is its line in docs/reference/coverage.md."""
    faults = [
        f"{service.name}.{operation}: {handler.__module__}.{handler.__qualname__}"
        for service in SERVICES.values()
        for operation, handler in service.handlers.items()
        if not (handler.__doc__ or "").strip()
    ]
    _report(faults, "Handlers without a docstring: say in one line what the operation does.")
