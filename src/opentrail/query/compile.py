"""A tree of S3 Select as SQL for DuckDB: made of the tree alone, every value of the caller's a bound parameter.

No text of the caller's becomes part of the SQL: names are looked up and stand as columns `v[1]`, `v[2]`, … of the
caller's row, values as `$p1`, `$p2`, …. What S3 Select's types do is said here, by static kinds: what comes out of CSV is
text, out of JSON whatever each record holds (`any`), out of Parquet what its schema says. Where the guide is silent, text
that stands where a number is needed counts as the number it spells, as in the guide's own `WHERE s._3 > 100`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from opentrail.query.faults import QueryFault
from opentrail.query.like import is_simple, regex_of
from opentrail.query.time_format import strftime_of
from opentrail.query.tree import Aggregate, Apply, Node, Path
from opentrail.query.tree import Literal as Constant

Kind = Literal["any", "text", "int", "number", "bool", "time", "null", "nested"]
NUMBERS = frozenset({"int", "number"})

MACROS = """
CREATE MACRO fault(code) AS error('S3SELECT:' || code);
CREATE MACRO any_text(j) AS CASE WHEN json_type(j) = 'VARCHAR' THEN j->>'$' END;
CREATE MACRO any_print(j) AS CASE WHEN json_type(j) = 'NULL' THEN NULL ELSE j->>'$' END;
CREATE MACRO any_bool(j) AS CASE WHEN json_type(j) = 'BOOLEAN' THEN CAST(j->>'$' AS BOOLEAN) END;
CREATE MACRO is_int(t) AS regexp_full_match(t, '\\s*[+-]?[0-9]{1,38}\\s*');
CREATE MACRO any_int(j) AS CASE WHEN json_type(j) IN ('BIGINT', 'UBIGINT') THEN CAST(j->>'$' AS HUGEINT) END;
CREATE MACRO any_number(j) AS CASE WHEN json_type(j) IN ('BIGINT', 'UBIGINT', 'DOUBLE', 'HUGEINT', 'UHUGEINT')
    THEN CAST(j->>'$' AS DOUBLE) END;
CREATE MACRO cast_number(t) AS CASE WHEN t IS NULL THEN NULL ELSE coalesce(TRY_CAST(t AS DOUBLE), fault('CastFailed')) END;
CREATE MACRO cast_int(t) AS CASE WHEN t IS NULL THEN NULL WHEN is_int(t)
    THEN coalesce(TRY_CAST(t AS BIGINT), fault('CastFailed')) ELSE fault('CastFailed') END;
CREATE MACRO cast_decimal(t) AS CASE WHEN t IS NULL THEN NULL
    ELSE coalesce(TRY_CAST(t AS DECIMAL(38, 12)), fault('CastFailed')) END;
CREATE MACRO cast_bool(t) AS CASE WHEN t IS NULL THEN NULL WHEN lower(t) = 'true' THEN true
    WHEN lower(t) = 'false' THEN false ELSE fault('CastFailed') END;
CREATE MACRO cast_time(t) AS CASE WHEN t IS NULL THEN NULL ELSE coalesce(make_timestamp(epoch_us(TRY_CAST(CASE
    WHEN regexp_full_match(t, '[0-9]{4}T?') THEN left(t, 4) || '-01-01'
    WHEN regexp_full_match(t, '[0-9]{4}-[0-9]{2}T?') THEN left(t, 7) || '-01'
    WHEN regexp_full_match(t, '[0-9]{4}-[0-9]{2}-[0-9]{2}T?') THEN left(t, 10)
    WHEN regexp_full_match(t,
        '[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})?')
    THEN regexp_replace(t, '^(.{16})(Z|[+-].*)?$', '\\1:00\\2') END AS TIMESTAMPTZ))), fault('CastFailed')) END;
CREATE MACRO like_regex(t) AS CASE WHEN length(t) > 4000 THEN fault('LikeInvalidInputs')
    ELSE replace(regexp_replace(regexp_escape(t), '(\\\\%)+', '.*', 'g'), '_', '.') END;
CREATE MACRO part_of(t, first, size) AS substring(t, greatest(first, 1), greatest(first + size - greatest(first, 1), 0));
"""
"""What S3 Select means by its conversions, in DuckDB's words. `j` is JSON, `t` text."""

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


class Sql(NamedTuple):
    """A piece of SQL and what it is of."""

    text: str
    kind: Kind


Find = Callable[[Path, bool], Sql]
"""The column that a path names; with True whether it is there at all (a bool). Raises QueryFault for an unknown one."""


class Compiler:
    """Makes the SQL of one statement's expressions; `values` are its parameters, `parts` its partial aggregates."""

    def __init__(self, find: Find, now: str) -> None:
        self._find = find
        self._now = now
        self.values: list[Any] = []
        self.parts: list[tuple[str, str]] = []
        """(aggregate of one batch, how those of all batches become one)"""

    def bind(self, value: Any) -> str:  # noqa: ANN401  (whatever DuckDB takes)
        self.values.append(value)
        return f"$p{len(self.values)}"

    def node(self, node: Node) -> Sql:
        if isinstance(node, Constant):
            return self._constant(node)
        if isinstance(node, Path):
            return self._find(node, False)
        if isinstance(node, Aggregate):
            return self._aggregate(node)
        return APPLIED[node.name](self, node)

    def condition(self, node: Node) -> str:
        """As a truth value, for WHERE, AND, OR, NOT and CASE."""
        found = self.node(node)
        if found.kind == "any":
            return f"any_bool({found.text})"
        if found.kind not in ("bool", "null"):
            raise QueryFault("IncorrectSqlFunctionArgumentType")
        return found.text

    def _constant(self, node: Constant) -> Sql:
        value = node.value
        if value is None:
            return Sql("NULL", "null")
        if isinstance(value, bool):
            return Sql("true" if value else "false", "bool")
        if isinstance(value, int):
            return Sql(f"CAST({self.bind(str(value))} AS HUGEINT)", "int")
        if isinstance(value, Decimal):
            return Sql(f"CAST({self.bind(str(value))} AS {_decimal_type(value)})", "number")
        text = f"CAST({self.bind(value)} AS VARCHAR)"
        return Sql(f"cast_time({text})", "time") if node.timestamp else Sql(text, "text")

    # Coercions

    def text(self, node: Node) -> str:
        """As text; NULL where a record holds something else."""
        found = self.node(node)
        if found.kind in ("text", "null"):
            return f"CAST({found.text} AS VARCHAR)" if found.kind == "null" else found.text
        if found.kind == "any":
            return f"any_text({found.text})"
        raise QueryFault("IncorrectSqlFunctionArgumentType")

    def number(self, node: Node) -> Sql:
        found = self.node(node)
        if found.kind in NUMBERS:
            return found
        if found.kind == "null":
            return Sql("CAST(NULL AS DOUBLE)", "number")
        if found.kind == "any":
            return Sql(f"any_number({found.text})", "number")
        if found.kind == "text":
            return Sql(f"cast_number({found.text})", "number")
        raise QueryFault("IncorrectSqlFunctionArgumentType")

    def whole(self, node: Node) -> str:
        """As an integer for counting: places, lengths, units of time."""
        return f"CAST(least(greatest({self.number(node).text}, -1000000000), 1000000000) AS BIGINT)"

    def time(self, node: Node) -> str:
        found = self.node(node)
        if found.kind in ("time", "null"):
            return f"CAST({found.text} AS TIMESTAMP)"
        if found.kind == "text":
            return f"cast_time({found.text})"
        if found.kind == "any":
            return f"cast_time(any_text({found.text}))"
        raise QueryFault("IncorrectSqlFunctionArgumentType")

    def shown(self, found: Sql) -> str:
        """As text, whatever it is."""
        if found.kind == "text":
            return found.text
        if found.kind == "any":
            return f"any_print({found.text})"
        if found.kind == "nested":
            return f"CAST(to_json({found.text}) AS VARCHAR)"
        return f"CAST({found.text} AS VARCHAR)"

    def alike(self, nodes: tuple[Node, ...]) -> tuple[list[str], Kind]:
        """Several expressions of which one is chosen, brought to one kind."""
        found = [self.node(node) for node in nodes]
        kinds = {each.kind for each in found} - {"null"}
        if not kinds:
            return [each.text for each in found], "null"
        if len(kinds) == 1:
            return [each.text for each in found], kinds.pop()
        if kinds <= NUMBERS:
            return [f"CAST({each.text} AS DOUBLE)" for each in found], "number"
        return [f"to_json({each.text})" if each.kind != "any" else each.text for each in found], "any"

    # Comparisons

    def compared(self, word: str, left: Sql, right: Sql) -> str:
        """`left word right`, NULL where the two cannot be compared."""
        kinds = {left.kind, right.kind}
        if "null" in kinds:
            return "CAST(NULL AS BOOLEAN)"
        if "nested" in kinds:
            raise QueryFault("IncorrectSqlFunctionArgumentType")
        if kinds <= NUMBERS or left.kind == right.kind != "any":
            return f"({left.text} {word} {right.text})"
        if kinds == {"any"}:
            numbers = f"any_number({left.text}) {word} any_number({right.text})"
            return f"coalesce({numbers}, CASE WHEN json_type({left.text}) = json_type({right.text}) THEN " + (
                f"any_print({left.text}) {word} any_print({right.text}) END)"
            )
        if left.kind in ("any", "text") and right.kind in NUMBERS:
            return _against_number(left, right.text, f"{{0}} {word} {{1}}", right.kind)
        if right.kind in ("any", "text") and left.kind in NUMBERS:
            return _against_number(right, left.text, f"{{1}} {word} {{0}}", left.kind)
        return f"({_as_other(left, right.kind)} {word} {_as_other(right, left.kind)})"

    # Aggregates: of each batch first, then of all of these

    def _aggregate(self, node: Aggregate) -> Sql:
        if node.argument is None:
            return Sql(self._part("count(*)", "coalesce(sum({}), 0)"), "int")
        if node.name == "COUNT":
            return Sql(self._part(f"count({self.node(node.argument).text})", "coalesce(sum({}), 0)"), "int")
        found = self.node(node.argument)
        if found.kind == "time" and node.name in ("MIN", "MAX"):
            part = f"{node.name.lower()}({found.text})"
            return Sql(self._part(part, f"{node.name.lower()}({{}})"), "time")
        number = self.number(node.argument)
        if node.name == "AVG":
            total = self._part(f"sum(CAST({number.text} AS DOUBLE))", "sum({})")
            return Sql(f"({total} / nullif({self._part(f'count({number.text})', 'sum({})')}, 0))", "number")
        name = node.name.lower()
        return Sql(self._part(f"{name}({number.text})", f"{name}({{}})"), number.kind)

    def _part(self, one: str, all_of: str) -> str:
        self.parts.append((one, all_of))
        return all_of.format(f"p{len(self.parts)}")


def _decimal_type(value: Decimal) -> str:
    _, digits, exponent = value.as_tuple()
    scale = max(-int(exponent), 0)
    fits = int(exponent) <= 0 and scale <= 38 and len(digits) <= 38
    return f"DECIMAL(38, {scale})" if fits else "DOUBLE"


def _against_number(value: Sql, number: str, form: str, kind: Kind) -> str:
    """Compare what may be a number with one that is; whole numbers as such, or large ones would be rounded."""
    if value.kind == "any":
        whole, broken = f"any_int({value.text})", f"any_number({value.text})"
    else:
        whole = f"CASE WHEN is_int({value.text}) THEN TRY_CAST({value.text} AS HUGEINT) END"
        broken = f"TRY_CAST({value.text} AS DOUBLE)"
    approximate = f"({form.format(broken, number)})"
    return f"coalesce({form.format(whole, number)}, {approximate})" if kind == "int" else approximate


def _as_other(one: Sql, other: Kind) -> str:
    """`one` as what it is compared with; NULL, so that nothing compares, where it can be no such thing."""
    if one.kind == "any":
        text = f"any_text({one.text})"
        return {"text": text, "bool": f"any_bool({one.text})", "time": f"cast_time({text})"}.get(other, "NULL")
    if one.kind == "bool":
        return one.text if other == "any" else "NULL"
    if one.kind == "text":
        return {"any": one.text, "time": f"cast_time({one.text})"}.get(other, "NULL")
    return one.text if one.kind == "time" else "NULL"


# Operators and functions, by their names


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
    return Sql(f"(NOT {compiler._find(path, True).text})", "bool")


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
    return Sql(f"CAST({compiler.bind(compiler._now)} AS TIMESTAMP)", "time")


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
