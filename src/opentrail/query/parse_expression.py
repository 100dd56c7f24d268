"""Expressions of S3 Select: operators by their precedence, paths, functions, CASE, CAST.

Source: S3 user guide, "Operators" and "SQL functions". Recursive descent, bounded in depth. Knows no types and no DuckDB;
that a function exists and how many arguments it takes is said here, what it does in `compile`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from opentrail.query.faults import QueryFault
from opentrail.query.tokens import END, Token
from opentrail.query.tree import Aggregate, Apply, Every, Literal, Name, Node, Path, Step

DEPTH_MAX = 40
"""Levels of an expression, operators of one chain included."""
EXPONENT_MAX = 300
INDEX_MAX = 10**6
PARTS = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "TIMEZONE_HOUR", "TIMEZONE_MINUTE")
FUNCTIONS = {
    "COALESCE": (1, 1_000), "NULLIF": (2, 2), "CHAR_LENGTH": (1, 1), "CHARACTER_LENGTH": (1, 1), "LOWER": (1, 1),
    "UPPER": (1, 1), "TO_TIMESTAMP": (1, 1), "TO_STRING": (2, 2), "UTCNOW": (0, 0), "SUBSTRING": (2, 3), "TRIM": (1, 2),
    "EXTRACT": (1, 1), "DATE_ADD": (2, 2), "DATE_DIFF": (2, 2),
}  # fmt: skip
"""How few and how many arguments each function takes; date parts and types are not counted."""
AGGREGATES = frozenset({"COUNT", "SUM", "AVG", "MIN", "MAX"})
TYPES = {
    "BOOL": "BOOL", "BOOLEAN": "BOOL", "INT": "INT", "INTEGER": "INT", "SMALLINT": "INT", "STRING": "STRING",
    "VARCHAR": "STRING", "CHAR": "STRING", "FLOAT": "FLOAT", "REAL": "FLOAT", "DOUBLE": "FLOAT", "DECIMAL": "DECIMAL",
    "NUMERIC": "DECIMAL", "TIMESTAMP": "TIMESTAMP",
}  # fmt: skip
CONSTANTS: dict[str, bool | None] = {"TRUE": True, "FALSE": False, "NULL": None}
RESERVED = frozenset(
    {"SELECT", "FROM", "WHERE", "LIMIT", "AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "IS", "AS", "CASE", "WHEN", "THEN",
     "ELSE", "END", "ESCAPE", "BY", "GROUP", "ORDER", "HAVING", "UNION", "JOIN"}
)  # fmt: skip
COMPARISONS = frozenset({"=", "<>", "!=", "<", "<=", ">", ">="})
ION_TIMESTAMP = re.compile(
    r"\d{4}(?:T|-\d\d(?:T|-\d\d(?:T(?:\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?)?))", re.ASCII
)


class Expressions:
    """A reader that stands at one token. Every method raises QueryFault for what it does not understand."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0
        self.now = tokens[0]

    def ahead(self, count: int) -> Token:
        place = self._place + count
        return self._tokens[place] if place < len(self._tokens) else END

    def next(self) -> Token:
        """The token that stands here; the reader goes on behind it."""
        token = self.now
        self._place += 1
        self.now = self.ahead(0)
        return token

    def take(self, word: str) -> bool:
        if self.now.word != word:
            return False
        self.next()
        return True

    def expect(self, word: str, code: str) -> None:
        if not self.take(word):
            raise QueryFault(code, self.now.text[:50])

    # Operators, the loosest first

    def expression(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise QueryFault("UnsupportedSqlStructure")
        node = self._chain("OR", lambda: self._chain("AND", self._negation))
        self._depth -= 1
        return node

    def _chain(self, word: str, below: Callable[[], Node]) -> Node:
        items = [below()]
        while self.take(word):
            items.append(below())
        return items[0] if len(items) == 1 else Apply(word, tuple(items))

    def _negation(self) -> Node:
        negations = 0
        while self.take("NOT"):
            negations += 1
        node = self._comparison()
        return Apply("NOT", (node,)) if negations % 2 else node

    def _comparison(self) -> Node:
        node = self._sum()
        for _ in range(DEPTH_MAX):
            word = self.now.word
            turned = word == "NOT" and self.ahead(1).word in ("IN", "LIKE", "BETWEEN")
            if turned:
                self.next()
                word = self.now.word
            if word in COMPARISONS:
                self.next()
                node = Apply("<>" if word == "!=" else word, (node, self._sum()))
            elif word in ("IS", "IN", "LIKE", "BETWEEN"):
                self.next()
                found = {"IS": self._is, "IN": self._in, "LIKE": self._like, "BETWEEN": self._between}[word](node)
                node = Apply("NOT", (found,)) if turned else found
            else:
                return node
        raise QueryFault("UnsupportedSqlStructure")

    def _is(self, node: Node) -> Node:
        turned = self.take("NOT")
        if self.now.word not in ("NULL", "MISSING"):
            raise QueryFault("ParseExpectedKeyword", self.now.text[:50])
        found = Apply("IS " + self.next().word, (node,))
        return Apply("NOT", (found,)) if turned else found

    def _in(self, node: Node) -> Node:
        self.expect("(", "ParseExpectedTokenType")
        items = self._arguments(")")
        if not items:
            raise QueryFault("ParseExpectedExpression")
        return Apply("IN", (node, *items))

    def _like(self, node: Node) -> Node:
        pattern = self._sum()
        escape = (self._sum(),) if self.take("ESCAPE") else ()
        return Apply("LIKE", (node, pattern, *escape))

    def _between(self, node: Node) -> Node:
        low = self._sum()
        self.expect("AND", "ParseExpectedKeyword")
        return Apply("BETWEEN", (node, low, self._sum()))

    def _sum(self) -> Node:
        return self._left(("+", "-", "||"), lambda: self._left(("*", "/", "%"), self._signed))

    def _left(self, words: tuple[str, ...], below: Callable[[], Node]) -> Node:
        node, count = below(), 0
        while self.now.word in words and self.now.kind == "operator":
            node = Apply(self.next().word, (node, below()))
            count += 1
            if count > DEPTH_MAX:
                raise QueryFault("UnsupportedSqlStructure")
        return node

    def _signed(self) -> Node:
        turned, count = False, 0
        while self.now.word in ("-", "+") and self.now.kind == "operator":
            turned ^= self.next().word == "-"
            count += 1
        node = self._term()
        if not turned:
            return node
        if isinstance(node, Literal) and isinstance(node.value, int | Decimal) and not isinstance(node.value, bool):
            return Literal(-node.value)
        return Apply("NEGATE", (node,))

    # Terms

    def _term(self) -> Node:
        token = self.now
        if token.kind == "operator":
            if token.text != "(":
                raise QueryFault("ParseUnexpectedToken", token.text)
            self.next()
            node = self.expression()
            self.expect(")", "ParseExpectedTokenType")
            return node
        if token.kind == "end":
            raise QueryFault("ParseExpectedExpression")
        if token.kind == "name":
            return self._word(token)
        if token.kind == "quoted":
            return self.path()
        self.next()
        if token.kind == "string":
            return Literal(token.text)
        return _number(token.text) if token.kind == "number" else _ion(token.text)

    def _word(self, token: Token) -> Node:
        """A constant, a CASE, a function or a path."""
        if token.word in CONSTANTS:
            self.next()
            return Literal(CONSTANTS[token.word])
        if token.word == "CASE":
            self.next()
            return self._case()
        if token.word == "MISSING":
            raise QueryFault("UnsupportedSyntax", token.text)
        if self.ahead(1).word == "(" and token.word not in RESERVED:
            self.next()
            self.next()
            return self._call(token)
        if token.word == "CAST":
            raise QueryFault("ParseExpectedLeftParenAfterCast")
        if token.word in RESERVED:
            raise QueryFault("ParseUnexpectedKeyword", token.text)
        return self.path()

    def path(self) -> Path:
        token = self.next()
        return Path((Name(token.text, token.kind == "quoted"), *self.steps()))

    def steps(self, every: bool = False) -> tuple[Step, ...]:
        """`.name`, `[0]`, `['name']` and, in the FROM clause (`every`), `[*]`."""
        found: list[Step] = []
        while self.now.word in (".", "[") and self.now.kind == "operator":
            if len(found) >= DEPTH_MAX:
                raise QueryFault("ParseInvalidPathComponent")
            if self.take("."):
                token = self.next()
                if token.kind not in ("name", "quoted"):
                    raise QueryFault("ParseInvalidPathComponent", token.text[:50])
                found.append(Name(token.text, token.kind == "quoted"))
            else:
                self.next()
                found.append(self._bracket(every))
        return tuple(found)

    def _bracket(self, every: bool) -> Step:
        token = self.next()
        step: Step
        if token.word == "*" and every:
            step = Every()
        elif token.kind == "number" and token.text.isdecimal() and len(token.text) < 8 and int(token.text) <= INDEX_MAX:
            step = int(token.text)
        elif token.kind == "string":
            step = Name(token.text, quoted=True)
        else:
            raise QueryFault("ParseInvalidPathComponent", token.text[:50])
        self.expect("]", "ParseExpectedTokenType")
        return step

    def _case(self) -> Node:
        """CASE [operand] WHEN … THEN … [ELSE …] END: the arguments are the pairs, then what else; `word` tells the forms
        apart: with an operand (the first argument) or without."""
        operand = () if self.now.word == "WHEN" else (self.expression(),)
        pairs: list[Node] = []
        while self.take("WHEN"):
            pairs.append(self.expression())
            self.expect("THEN", "ParseExpectedKeyword")
            pairs.append(self.expression())
        if not pairs:
            raise QueryFault("ParseExpectedWhenClause")
        otherwise = self.expression() if self.take("ELSE") else Literal(None)
        self.expect("END", "ParseExpectedKeyword")
        return Apply("CASE", (*operand, *pairs, otherwise), "OPERAND" if operand else "")

    # Functions; the opening parenthesis is behind us

    def _call(self, token: Token) -> Node:
        name = token.word
        if name in AGGREGATES:
            return self._aggregate(name)
        if name == "CAST":
            return self._cast()
        if name not in FUNCTIONS:
            raise QueryFault("UnsupportedFunction", token.text[:50])
        special = {"TRIM": self._trim, "SUBSTRING": self._substring, "EXTRACT": self._extract}.get(name)
        if special is not None:
            return special()
        part = self._part(",") if name in ("DATE_ADD", "DATE_DIFF") else ""
        return _checked(Apply(name, tuple(self._arguments(")")), part))

    def _arguments(self, end: str) -> list[Node]:
        """Expressions, commas between, up to and with `end`."""
        found: list[Node] = []
        if self.take(end):
            return found
        while True:
            found.append(self.expression())
            if self.take(end):
                return found
            if self.now.kind == "end":
                raise QueryFault("ParseExpectedRightParenBuiltinFunctionCall")
            self.expect(",", "ParseExpectedArgumentDelimiter")

    def _aggregate(self, name: str) -> Node:
        argument: Node | None = None
        if self.take("*"):
            if name != "COUNT":
                raise QueryFault("UnsupportedSqlStructure", f"{name}(*)")
        elif self.now.word == "DISTINCT":
            raise QueryFault("UnsupportedSqlStructure", "DISTINCT")
        else:
            argument = self.expression()
        self._close()
        return Aggregate(name, argument)

    def _cast(self) -> Node:
        node = self.expression()
        self.expect("AS", "ParseExpectedKeyword")
        token = self.next()
        if token.word not in TYPES:
            raise QueryFault("ParseExpectedTypeName", token.text[:50])
        if self.take("("):
            for each in self._arguments(")"):
                if not isinstance(each, Literal) or not isinstance(each.value, int):
                    raise QueryFault("ParseInvalidTypeParam")
        self._close()
        return Apply("CAST", (node,), TYPES[token.word])

    def _trim(self) -> Node:
        which = self.next().word if self.now.word in ("LEADING", "TRAILING", "BOTH") else "BOTH"
        if self.take("FROM"):
            node, what = self.expression(), None
        else:
            node, what = self.expression(), None
            if self.take("FROM"):
                node, what = self.expression(), node
        self._close()
        return Apply("TRIM", (node,) if what is None else (node, what), which)

    def _substring(self) -> Node:
        node = self.expression()
        word = "FROM" if self.take("FROM") else ","
        if word == ",":
            self.expect(",", "ParseExpectedArgumentDelimiter")
        arguments = [node, self.expression()]
        if self.take("FOR" if word == "FROM" else ","):
            arguments.append(self.expression())
        self._close()
        return Apply("SUBSTRING", tuple(arguments))

    def _extract(self) -> Node:
        part = self._part("FROM")
        node = self.expression()
        self._close()
        return Apply("EXTRACT", (node,), part)

    def _part(self, end: str) -> str:
        token = self.next()
        if token.word not in PARTS:
            raise QueryFault("ParseExpectedDatePart", token.text[:50])
        self.expect(end, "ParseExpectedKeyword" if end == "FROM" else "ParseExpectedArgumentDelimiter")
        return token.word

    def _close(self) -> None:
        self.expect(")", "ParseExpectedRightParenBuiltinFunctionCall")


def _checked(call: Apply) -> Apply:
    fewest, most = FUNCTIONS[call.name]
    if not fewest <= len(call.arguments) <= most:
        raise QueryFault("EvaluatorInvalidArguments", call.name)
    return call


def _number(text: str) -> Literal:
    if text.isdecimal():
        return Literal(int(text))
    number = Decimal(text)
    if number and abs(number.adjusted()) > EXPONENT_MAX:
        raise QueryFault("LexerInvalidLiteral")
    return Literal(number)


def _ion(text: str) -> Literal:
    if not ION_TIMESTAMP.fullmatch(text):
        raise QueryFault("LexerInvalidIONLiteral")
    return Literal(text, timestamp=True)
