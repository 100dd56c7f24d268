"""S3 Select's operators and functions as SQL for DuckDB, each by its name. Pure.

Source: S3 user guide, "SQL reference for Amazon S3 Select". Values become SQL through the compiler alone (`compile`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from opentrail.query.faults import QueryFault
from opentrail.query.like import is_simple, regex_of
from opentrail.query.sql import Kind, Sql
from opentrail.query.time_format import strftime_of
from opentrail.query.tree import Apply, Path
from opentrail.query.tree import Literal as Constant

if TYPE_CHECKING:
    from opentrail.query.compile import Compiler

UNIT = {"YEAR": "years", "MONTH": "months", "DAY": "days", "HOUR": "hours", "MINUTE": "minutes", "SECOND": "seconds"}
TRIMS = {"BOTH": "trim", "LEADING": "ltrim", "TRAILING": "rtrim"}
CAST_KINDS: dict[str, Kind] = {
    "BOOL": "bool", "INT": "int", "STRING": "text", "FLOAT": "number", "DECIMAL": "number", "TIMESTAMP": "time",
}  # fmt: skip
CAST_TYPES = {
    "INT": "BIGINT",
    "FLOAT": "DOUBLE",
    "DECIMAL": "DECIMAL(38, 12)",
    "BOOL": "BOOLEAN",
    "TIMESTAMP": "TIMESTAMP",
}


def _logic(compiler: Compiler, node: Apply) -> Sql:
    return Sql("(" + f" {node.name} ".join(compiler.condition(each) for each in node.arguments) + ")", "bool")


def _not(compiler: Compiler, node: Apply) -> Sql:
    return Sql(f"(NOT {compiler.condition(node.arguments[0])})", "bool")


def _compare(compiler: Compiler, node: Apply) -> Sql:
    left, right = (compiler.node(each) for each in node.arguments)
    return Sql(compiler.compared(node.name, left, right), "bool")


def _between(compiler: Compiler, node: Apply) -> Sql:
    value, low, high = (compiler.node(each) for each in node.arguments)
    return Sql(f"({compiler.compared('>=', value, low)} AND {compiler.compared('<=', value, high)})", "bool")


def _in(compiler: Compiler, node: Apply) -> Sql:
    value, *items = (compiler.node(each) for each in node.arguments)
    if len({value.kind, *(item.kind for item in items)}) == 1 and value.kind != "any":
        return Sql(f"({value.text} IN ({', '.join(item.text for item in items)}))", "bool")
    if value.kind == "any" and {item.kind for item in items} == {"text"}:
        return Sql(f"(any_text({value.text}) IN ({', '.join(item.text for item in items)}))", "bool")
    return Sql("(" + " OR ".join(compiler.compared("=", value, item) for item in items) + ")", "bool")


def _like(compiler: Compiler, node: Apply) -> Sql:
    value, pattern, *escaping = node.arguments
    escape = ""
    if escaping:
        found = escaping[0].value if isinstance(escaping[0], Constant) else None
        if not isinstance(found, str) or len(found) != 1:
            raise QueryFault("LikeInvalidInputs")
        escape = found
    text = compiler.text(value)
    if not isinstance(pattern, Constant):
        if escape:
            raise QueryFault("LikeInvalidInputs")
        return Sql(f"regexp_full_match({text}, like_regex({compiler.text(pattern)}), 's')", "bool")
    if isinstance(pattern.value, str) and (escape or not is_simple(pattern.value)):
        return Sql(f"regexp_full_match({text}, {compiler.bind(regex_of(pattern.value, escape))}, 's')", "bool")
    return Sql(f"({text} LIKE {compiler.text(pattern)})", "bool")


def _is_null(compiler: Compiler, node: Apply) -> Sql:
    found = compiler.node(node.arguments[0])
    return Sql(f"({found.text} IS NULL)", "bool")


def _is_missing(compiler: Compiler, node: Apply) -> Sql:
    path = node.arguments[0]
    if not isinstance(path, Path):
        return Sql("false", "bool")
    return Sql(f"(NOT {compiler.find(path, True).text})", "bool")


def _arithmetic(compiler: Compiler, node: Apply) -> Sql:
    left, right = (compiler.number(each) for each in node.arguments)
    kind: Kind = "int" if left.kind == right.kind == "int" else "number"
    if node.name in "/%":
        divisor = f"CASE WHEN {right.text} = 0 THEN fault('IllegalSqlFunctionArgument') ELSE {right.text} END"
        return Sql(f"({left.text} {'//' if node.name == '/' and kind == 'int' else node.name} {divisor})", kind)
    return Sql(f"({left.text} {node.name} {right.text})", kind)


def _negate(compiler: Compiler, node: Apply) -> Sql:
    found = compiler.number(node.arguments[0])
    return Sql(f"(-{found.text})", found.kind)


def _join(compiler: Compiler, node: Apply) -> Sql:
    left, right = (compiler.text(each) for each in node.arguments)
    return Sql(f"({left} || {right})", "text")


def _case(compiler: Compiler, node: Apply) -> Sql:
    arguments = list(node.arguments)
    operand = compiler.node(arguments.pop(0)) if node.word else None
    results, kind = compiler.alike((*arguments[1:-1:2], arguments[-1]))
    conditions = [
        compiler.condition(each) if operand is None else compiler.compared("=", operand, compiler.node(each))
        for each in arguments[:-1:2]
    ]
    whens = " ".join(f"WHEN {when} THEN {then}" for when, then in zip(conditions, results[:-1], strict=True))
    return Sql(f"(CASE {whens} ELSE {results[-1]} END)", kind)


def _coalesce(compiler: Compiler, node: Apply) -> Sql:
    texts, kind = compiler.alike(node.arguments)
    return Sql(f"coalesce({', '.join(texts)})", kind)


def _nullif(compiler: Compiler, node: Apply) -> Sql:
    left, right = (compiler.node(each) for each in node.arguments)
    return Sql(f"(CASE WHEN {compiler.compared('=', left, right)} THEN NULL ELSE {left.text} END)", left.kind)


def _cast(compiler: Compiler, node: Apply) -> Sql:
    found, to = compiler.node(node.arguments[0]), node.word
    kind = CAST_KINDS[to]
    if found.kind == "nested":
        raise QueryFault("InvalidCast")
    if to == "STRING":
        return Sql(compiler.shown(found), kind)
    if found.kind in ("text", "any"):
        name = {"INT": "int", "FLOAT": "number", "DECIMAL": "decimal", "BOOL": "bool", "TIMESTAMP": "time"}[to]
        text = compiler.shown(found)
        if (
            found.kind == "any" and to == "INT"
        ):  # a JSON number with a fraction is cut, a text that has one is no integer
            return Sql(f"coalesce(TRY_CAST(trunc(any_number({found.text})) AS BIGINT), cast_int({text}))", kind)
        return Sql(f"cast_{name}({text})", kind)
    if (found.kind == "time") != (to == "TIMESTAMP") and found.kind != "null":
        raise QueryFault("InvalidCast")
    value = f"trunc({found.text})" if to == "INT" and found.kind == "number" else found.text
    result = f"TRY_CAST({value} AS {CAST_TYPES[to]})"
    return Sql(f"CASE WHEN {found.text} IS NULL THEN NULL ELSE coalesce({result}, fault('CastFailed')) END", kind)


def _text_function(name: str, kind: Kind) -> Callable[[Compiler, Apply], Sql]:
    return lambda compiler, node: Sql(f"{name}({compiler.text(node.arguments[0])})", kind)


def _substring(compiler: Compiler, node: Apply) -> Sql:
    text, first = compiler.text(node.arguments[0]), compiler.whole(node.arguments[1])
    size = compiler.whole(node.arguments[2]) if len(node.arguments) > 2 else "1000000000"
    return Sql(f"part_of({text}, {first}, {size})", "text")


def _trim(compiler: Compiler, node: Apply) -> Sql:
    what = f", {compiler.text(node.arguments[1])}" if len(node.arguments) > 1 else ""
    return Sql(f"{TRIMS[node.word]}({compiler.text(node.arguments[0])}{what})", "text")


def _to_timestamp(compiler: Compiler, node: Apply) -> Sql:
    return Sql(compiler.time(node.arguments[0]), "time")


def _to_string(compiler: Compiler, node: Apply) -> Sql:
    pattern = node.arguments[1]
    if not isinstance(pattern, Constant) or not isinstance(pattern.value, str):
        raise QueryFault("IncorrectSqlFunctionArgumentType")
    form = compiler.bind(strftime_of(pattern.value))
    return Sql(f"strftime({compiler.time(node.arguments[0])}, CAST({form} AS VARCHAR))", "text")


def _utcnow(compiler: Compiler, _node: Apply) -> Sql:
    return Sql(f"CAST({compiler.bind(compiler.now)} AS TIMESTAMP)", "time")


def _extract(compiler: Compiler, node: Apply) -> Sql:
    time = compiler.time(node.arguments[0])
    if node.word.startswith("TIMEZONE"):  # all times are kept in UTC
        return Sql(f"(CASE WHEN {time} IS NULL THEN NULL ELSE 0 END)", "int")
    return Sql(f"date_part('{node.word.lower()}', {time})", "int")


def _date_add(compiler: Compiler, node: Apply) -> Sql:
    if node.word not in UNIT:
        raise QueryFault("ParseExpectedDatePart")
    count = f"CAST({compiler.whole(node.arguments[0])} AS INTEGER)"
    return Sql(f"({compiler.time(node.arguments[1])} + to_{UNIT[node.word]}({count}))", "time")


def _date_diff(compiler: Compiler, node: Apply) -> Sql:
    if node.word not in UNIT:
        raise QueryFault("ParseExpectedDatePart")
    first, second = (compiler.time(each) for each in node.arguments)
    return Sql(f"date_sub('{node.word.lower()}', {first}, {second})", "int")


APPLIED: dict[str, Callable[[Compiler, Apply], Sql]] = {
    "AND": _logic, "OR": _logic, "NOT": _not, "BETWEEN": _between, "IN": _in, "LIKE": _like, "IS NULL": _is_null,
    "IS MISSING": _is_missing, "||": _join, "NEGATE": _negate, "CASE": _case, "COALESCE": _coalesce, "NULLIF": _nullif,
    "CAST": _cast, "SUBSTRING": _substring, "TRIM": _trim, "TO_TIMESTAMP": _to_timestamp, "TO_STRING": _to_string,
    "UTCNOW": _utcnow, "EXTRACT": _extract, "DATE_ADD": _date_add, "DATE_DIFF": _date_diff,
    "LOWER": _text_function("lower", "text"), "UPPER": _text_function("upper", "text"),
    "CHAR_LENGTH": _text_function("length", "int"), "CHARACTER_LENGTH": _text_function("length", "int"),
    **dict.fromkeys(("=", "<>", "<", "<=", ">", ">="), _compare), **dict.fromkeys(("+", "-", "*", "/", "%"), _arithmetic),
}  # fmt: skip
