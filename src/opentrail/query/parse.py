"""SELECT … FROM S3Object … WHERE … LIMIT …: the statement of S3 Select. Expressions are read by `parse_expression`.

Source: S3 user guide, "SELECT command". One table, no joins, no grouping, no ordering: S3 Select has none. Pure.
"""

from __future__ import annotations

from opentrail.query.faults import QueryFault
from opentrail.query.parse_expression import Expressions
from opentrail.query.tokens import tokens_of
from opentrail.query.tree import Apply, Column, Every, Name, Node, Select, Step

COLUMNS_MAX = 1_000
"""Expressions of a SELECT list."""
LIMIT_DIGITS_MAX = 18
UNSUPPORTED = frozenset({"GROUP", "ORDER", "HAVING", "JOIN", "UNION", "INTERSECT", "EXCEPT", "OFFSET", "INNER", "LEFT"})
STATEMENTS = frozenset(
    {"INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "WITH", "COPY", "ATTACH", "PRAGMA", "SET"}
)


def parse(expression: str) -> Select:
    """The tree of an expression; raises QueryFault with AWS's code."""
    return Statement(expression).read()


class Statement(Expressions):
    """Reads one statement, from its first token to its last."""

    def __init__(self, expression: str) -> None:
        super().__init__(tokens_of(expression))

    def read(self) -> Select:
        if not self.take("SELECT"):
            raise QueryFault("UnsupportedSqlOperation" if self.now.word in STATEMENTS else "ParseUnexpectedToken")
        if self.now.word in ("DISTINCT", "ALL"):
            raise QueryFault("ParseUnsupportedSelect", self.now.text)
        columns = self._columns()
        if not self.take("FROM"):
            raise QueryFault("ParseSelectMissingFrom")
        source, alias = self._source()
        where = self.expression() if self.take("WHERE") else None
        limit = self._limit() if self.take("LIMIT") else None
        if self.now.word in UNSUPPORTED or self.now.word == ",":
            raise QueryFault("UnsupportedSqlStructure", self.now.text)
        if self.now.kind != "end":
            raise QueryFault("ParseUnexpectedToken", self.now.text[:50])
        return Select(tuple(columns), source, alias, where, limit)

    def _columns(self) -> list[Column]:
        """The SELECT list; empty for `*` and `alias.*`."""
        if self.now.kind == "end" or self.now.word == "FROM":
            raise QueryFault("ParseEmptySelect")
        if self.take("*") or self._take_alias_star():
            if self.now.word == ",":
                raise QueryFault("ParseAsteriskIsNotAloneInSelectList")
            return []
        columns = [self._column()]
        while self.take(","):
            if self.now.word == "*":
                raise QueryFault("ParseAsteriskIsNotAloneInSelectList")
            columns.append(self._column())
            if len(columns) > COLUMNS_MAX:
                raise QueryFault("OverMaxColumn")
        return columns

    def _take_alias_star(self) -> bool:
        if self.now.kind not in ("name", "quoted") or [self.ahead(1).word, self.ahead(2).word] != [".", "*"]:
            return False
        for _ in range(3):
            self.next()
        return True

    def _column(self) -> Column:
        node = self.expression()
        return Column(node, self._alias(("FROM",)))

    def _alias(self, ends: tuple[str, ...]) -> str:
        """`AS name`, or just a name that is none of `ends`."""
        named = self.take("AS")
        if self.now.kind == "quoted" or (self.now.kind == "name" and self.now.word not in ends):
            return self.next().text
        if named:
            raise QueryFault("ParseExpectedIdentForAlias")
        return ""

    def _source(self) -> tuple[tuple[Step, ...], Name | None]:
        table = self.next()
        if table.kind not in ("name", "quoted"):
            raise QueryFault("ParseUnexpectedToken", table.text[:50])
        if table.text.lower() != "s3object":
            raise QueryFault("InvalidDataSource")
        steps = self.steps(every=True)
        quoted = (self.ahead(1) if self.now.word == "AS" else self.now).kind == "quoted"
        alias = self._alias(("WHERE", "LIMIT", *UNSUPPORTED))
        if steps and isinstance(steps[0], Every):
            steps = steps[1:]
        return steps, Name(alias, quoted) if alias else None

    def _limit(self) -> int:
        if self.take("-"):
            raise QueryFault("EvaluatorNegativeLimit")
        number = self.next()
        if number.kind != "number" or not number.text.isdecimal():
            raise QueryFault("ParseExpectedNumber")
        return int(number.text[:LIMIT_DIGITS_MAX]) if len(number.text) <= LIMIT_DIGITS_MAX else 10**LIMIT_DIGITS_MAX


def walk(node: Node | None) -> list[Node]:
    """The node and all below it. Deep trees do not exist: `parse_expression.DEPTH_MAX`."""
    if node is None:
        return []
    below = node.arguments if isinstance(node, Apply) else (getattr(node, "argument", None),)
    return [node, *(each for one in below for each in walk(one))]
