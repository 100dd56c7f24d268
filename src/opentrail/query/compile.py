"""A tree of S3 Select as SQL for DuckDB: made of the tree alone, every value of the caller's a bound parameter.

No text of the caller's becomes part of the SQL: names are looked up and stand as columns `v[1]`, `v[2]`, … of the
caller's row, values as `$p1`, `$p2`, …. What S3 Select's types do is said here, by static kinds: what comes out of CSV is
text, out of JSON whatever each record holds (`any`), out of Parquet what its schema says. Where the guide is silent, text
that stands where a number is needed counts as the number it spells, as in the guide's own `WHERE s._3 > 100`. Pure.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from opentrail.query.faults import QueryFault
from opentrail.query.functions import APPLIED
from opentrail.query.sql import NUMBERS, Find, Kind, Sql
from opentrail.query.tree import Aggregate, Node, Path
from opentrail.query.tree import Literal as Constant


class Compiler:
    """Makes the SQL of one statement's expressions; `values` are its parameters, `parts` its partial aggregates."""

    def __init__(self, find: Find, now: str) -> None:
        self.find = find
        self.now = now
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
            return self.find(node, False)
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
