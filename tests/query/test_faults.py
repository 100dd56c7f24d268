"""Expressions that S3 Select does not take, each with AWS's code; and those that want more than they may."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opentrail.query.compile import Compiler
from opentrail.query.faults import MESSAGES, QueryFault
from opentrail.query.job import Csv
from opentrail.query.parse import parse
from opentrail.query.sql import Sql
from opentrail.query.tokens import EXPRESSION_BYTES_MAX
from tests.query.asked import LINES, USE, ask, fault, of_csv

F = " FROM S3Object"


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("", "ParseUnexpectedToken"),
        ("nonsense", "ParseUnexpectedToken"),
        ("SELECT", "ParseEmptySelect"),
        ("SELECT FROM S3Object", "ParseEmptySelect"),
        ("SELECT a", "ParseSelectMissingFrom"),
        ("SELECT a FROM", "ParseUnexpectedToken"),
        ("SELECT a FROM other", "InvalidDataSource"),
        ("SELECT a FROM S3Object, S3Object", "UnsupportedSqlStructure"),
        ("SELECT a FROM S3Object JOIN x", "UnsupportedSqlStructure"),
        ("SELECT a FROM S3Object GROUP BY a", "UnsupportedSqlStructure"),
        ("SELECT a FROM S3Object ORDER BY a", "UnsupportedSqlStructure"),
        ("SELECT a FROM S3Object; DROP TABLE x", "LexerInvalidChar"),
        ("SELECT a FROM S3Object WHERE", "ParseExpectedExpression"),
        ("SELECT a FROM S3Object WHERE a = 1 b", "ParseUnexpectedToken"),
        ("SELECT a FROM S3Object LIMIT", "ParseExpectedNumber"),
        ("SELECT a FROM S3Object LIMIT -1", "EvaluatorNegativeLimit"),
        ("SELECT a FROM S3Object LIMIT 1.5", "ParseExpectedNumber"),
        ("SELECT a FROM read_csv('/etc/passwd')", "InvalidDataSource"),
        ("SELECT a FROM '/etc/passwd'", "ParseUnexpectedToken"),
        ('SELECT a FROM "/etc/passwd"', "InvalidDataSource"),
        ("SELECT *, a" + F, "ParseAsteriskIsNotAloneInSelectList"),
        ("SELECT a, *" + F, "ParseAsteriskIsNotAloneInSelectList"),
        ("SELECT DISTINCT a" + F, "ParseUnsupportedSelect"),
        ("SELECT (SELECT a FROM S3Object)" + F, "ParseUnexpectedKeyword"),
        ("SELECT read_text('/etc/passwd')" + F, "UnsupportedFunction"),
        ("SELECT getenv('HOME')" + F, "UnsupportedFunction"),
        ("SELECT error('x')" + F, "UnsupportedFunction"),
        ("SELECT COUNT(DISTINCT a)" + F, "UnsupportedSqlStructure"),
        ("SELECT SUM(*)" + F, "UnsupportedSqlStructure"),
        ("SELECT a, COUNT(*)" + F, "UnsupportedSqlStructure"),
        ("SELECT a || 'x', COUNT(*)" + F, "UnsupportedSqlStructure"),
        ("SELECT a" + F + " WHERE COUNT(*) > 1", "UnsupportedSqlStructure"),
        ("SELECT CAST a AS INT" + F, "ParseExpectedLeftParenAfterCast"),
        ("SELECT CAST(a INT)" + F, "ParseExpectedKeyword"),
        ("SELECT CAST(a AS MONEY)" + F, "ParseExpectedTypeName"),
        ("SELECT CAST(a AS INT" + F, "ParseExpectedRightParenBuiltinFunctionCall"),
        ("SELECT CAST('x' AS INT)" + F, "CastFailed"),
        ("SELECT CAST('1.5' AS INT)" + F, "CastFailed"),
        ("SELECT CAST('9223372036854775808' AS INT)" + F, "CastFailed"),
        ("SELECT CAST('maybe' AS BOOL)" + F, "CastFailed"),
        ("SELECT CAST('2010-13-01' AS TIMESTAMP)" + F, "CastFailed"),
        ("SELECT CAST(1 AS TIMESTAMP)" + F, "InvalidCast"),
        ("SELECT LOWER()" + F, "EvaluatorInvalidArguments"),
        ("SELECT LOWER('a', 'b')" + F, "EvaluatorInvalidArguments"),
        ("SELECT LOWER(1)" + F, "IncorrectSqlFunctionArgumentType"),
        ("SELECT EXTRACT(EPOCH FROM a)" + F, "ParseExpectedDatePart"),
        ("SELECT DATE_ADD(fortnight, 1, a)" + F, "ParseExpectedDatePart"),
        ("SELECT TO_STRING(UTCNOW(), 'QQ')" + F, "EvaluatorInvalidTimestampFormatPattern"),
        ("SELECT a" + F + " WHERE a LIKE 'x' ESCAPE 'ab'", "LikeInvalidInputs"),
        ("SELECT a" + F + " WHERE a LIKE 'x!y' ESCAPE '!'", "LikeInvalidInputs"),
        ("SELECT a" + F + " WHERE a LIKE b ESCAPE '!'", "LikeInvalidInputs"),
        ("SELECT a" + F + " WHERE a LIKE '" + "_" * 5_000 + "'", "LikeInvalidInputs"),
        ("SELECT a" + F + " WHERE a", "IncorrectSqlFunctionArgumentType"),
        ("SELECT CASE a END" + F, "ParseExpectedWhenClause"),
        ("SELECT CASE WHEN TRUE THEN 1" + F, "ParseExpectedKeyword"),
        ("SELECT 1 / 0" + F, "IllegalSqlFunctionArgument"),
        ("SELECT 1 % 0" + F, "IllegalSqlFunctionArgument"),
        ("SELECT 9223372036854775807 * 9223372036854775807 * 9223372036854775807" + F, "IntegerOverflow"),
        ("SELECT " + "9" * 39 + F, "LexerInvalidLiteral"),
        ("SELECT 1e999" + F, "LexerInvalidLiteral"),
        ("SELECT 1abc" + F, "LexerInvalidLiteral"),
        ("SELECT 'abc" + F, "LexerInvalidLiteral"),
        ("SELECT `abc`" + F, "LexerInvalidIONLiteral"),
        ("SELECT a ! b" + F, "LexerInvalidOperator"),
        ("SELECT a # b" + F, "LexerInvalidChar"),
        ("SELECT nope" + F, "MissingHeaders"),
        ('SELECT "A"' + F, "MissingHeaders"),
        ("SELECT a.b" + F, "InvalidColumnIndex"),
        ("SELECT a[*]" + F, "ParseInvalidPathComponent"),
        ("SELECT a.1" + F, "ParseSelectMissingFrom"),
        ("SELECT a FROM S3Object.path", "InvalidKeyPath"),
        ("DELETE FROM S3Object", "UnsupportedSqlOperation"),
        ("COPY x TO '/tmp/x'", "UnsupportedSqlOperation"),
        ("SELECT a AS FROM S3Object", "ParseExpectedIdentForAlias"),
        ("SELECT " + "(" * 5_000, "UnsupportedSqlStructure"),
        ("SELECT " + "NOT (" * 5_000, "UnsupportedSqlStructure"),
        ("SELECT " + "LOWER(" * 5_000, "UnsupportedSqlStructure"),
        ("SELECT " + "CASE WHEN " * 5_000, "UnsupportedSqlStructure"),
        ("SELECT 1" + "+1" * 5_000 + F, "UnsupportedSqlStructure"),
        ("SELECT 1" + " = 1" * 5_000 + F, "UnsupportedSqlStructure"),
        ("SELECT a" + ".a" * 5_000 + F, "ParseInvalidPathComponent"),
        ("SELECT " + "a," * 5_000 + "a" + F, "OverMaxColumn"),
        ("SELECT '" + "x" * EXPRESSION_BYTES_MAX + "'" + F, "ExpressionTooLong"),
    ],
)  # fmt: skip
def test_codes(expression: str, code: str) -> None:
    assert fault(expression) == code


def test_ambiguous_names() -> None:
    data = b"name,NAME,Name\n1,2,3\n"
    assert fault("SELECT nAme FROM S3Object", data) == "AmbiguousFieldName"
    assert of_csv('SELECT "NAME", name FROM S3Object', data) == ["2,1"]


def test_no_pattern_takes_for_ever() -> None:
    text = "x" * 2_000
    began = time.process_time()
    for pattern in ("%x_x" * 8 + "%y", "_%" * 300 + "y", "%" * 500 + "_y"):
        assert of_csv(f"SELECT a FROM S3Object WHERE a LIKE '{pattern}'", f"a\n{text}\n".encode()) == []
        assert of_csv("SELECT a FROM S3Object WHERE a LIKE b || ''", f"a,b\n{text},{pattern}\n".encode()) == []
    assert time.process_time() - began < 60


def test_long_but_flat_is_fine() -> None:
    terms = " OR ".join(f"a = '{each}'" for each in range(800))
    items = ", ".join(f"'{each}'" for each in range(800))
    assert of_csv(f"SELECT a FROM S3Object WHERE {terms}", b"a\n7\nx\n") == ["7"]
    assert of_csv(f"SELECT a FROM S3Object WHERE a IN ({items})", b"a\n7\nx\n") == ["7"]


NASTY = [
    "x'; DROP TABLE partial; --", "'||(SELECT 1)||'", '"; SELECT * FROM read_text(\'/etc/passwd\')', "$p1", "$1", "\\", "%",
    "[[]]", "{}", "\0", "\ue0f0", "S3SELECT:Busy", "' UNION SELECT content FROM read_text('/etc/hostname')",
]  # fmt: skip


@pytest.mark.parametrize("text", NASTY)
def test_text_is_never_more_than_text(text: str) -> None:
    quoted = text.replace("'", "''")
    found = ask(
        f"SELECT '{quoted}' || '', x FROM S3Object WHERE x = '{quoted}' OR x LIKE '{quoted}x%'", b"x\n1\n", csv=USE
    )[0]
    assert found == ""
    assert ask(f"SELECT COALESCE('{quoted}') FROM S3Object", b"1\n", output=None)[0].startswith('{"_1":"')
    name = text.replace('"', '""')
    header = ('"' + name + '",b\n"v",2\n').encode()
    assert ask(f'SELECT s."{name}" || s.b AS "{name}" FROM S3Object s', header, csv=USE)[0] == "v2\n"


def test_no_text_of_the_caller_is_in_the_sql() -> None:
    def find(path: object, there: bool) -> Sql:
        return Sql("v[1]", "bool" if there else "text")

    for text in NASTY:
        quoted = text.replace("'", "''")
        where = parse(
            f"SELECT a FROM S3Object WHERE \"{text.replace(chr(34), '')}\" = '{quoted}' AND b LIKE '{quoted}'"
        ).where
        assert where is not None
        compiler = Compiler(find, "2026-01-02 03:04:05")
        sql = compiler.condition(where)
        like = "regexp_full_match(v[1], $p2, 's')" if "_" in text else "(v[1] LIKE CAST($p2 AS VARCHAR))"
        assert sql == f"((v[1] = CAST($p1 AS VARCHAR)) AND {like})"
        assert compiler.values[0] == text


EXPECTED = MESSAGES.keys() - {"InternalError"} | {""}


def code_of(expression: str, data: bytes, **job: Any) -> str:
    """The code of the query's fault, empty without one."""
    try:
        ask(expression, data, **job)
    except QueryFault as error:
        return error.code
    return ""


WORDS = st.sampled_from(
    [
        "SELECT", "*", "FROM", "S3Object", "s", "WHERE", "LIMIT", "1", "'x'", "a", "_1", "b", ".", ",", "(", ")",
        "=", "<", "AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "IS", "NULL", "MISSING", "CAST", "AS", "INT",
        "STRING", "TIMESTAMP", "CASE", "WHEN", "THEN", "END", "COUNT", "SUM", "MAX", "LOWER", "SUBSTRING", "+", "-",
        "/", "%", "||", "[", "]", "0", "`2010T`", "1.5", "TRUE", "EXTRACT", "YEAR", "DATE_DIFF", "UTCNOW",
        "COALESCE", "NULLIF", "TRIM", "TO_STRING", "\"a\"", "--", "/*"
    ]
)  # fmt: skip


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.lists(WORDS, max_size=25), st.booleans())
def test_any_words_give_a_result_or_a_fault(words: list[str], framed: bool) -> None:
    expression = " ".join(["SELECT", *words, "FROM S3Object"] if framed else words)
    assert code_of(expression, b"a,b\n1,x\n,\n", csv=USE) in EXPECTED


OPERATORS = st.sampled_from(["+", "-", "*", "/", "%", "||", "=", "<>", "<", ">=", "AND", "OR", "LIKE"])
VALUES = st.sampled_from(
    ["a", "b", "n", "o", "l", "1", "-2.5", "'x'", "'7'", "NULL", "TRUE", "`2010T`", "UTCNOW()", "o.k", "l[0]"]
)
MADE = st.recursive(
    VALUES,
    lambda inner: st.one_of(
        st.tuples(inner, OPERATORS, inner).map(
            lambda each: f"({each[0]} {each[1]} {each[2]})"
        ),
        st.tuples(st.sampled_from(["LOWER", "CHAR_LENGTH", "TRIM", "TO_TIMESTAMP", "COALESCE"]), inner).map(
            lambda each: f"{each[0]}({each[1]})"
        ),
        st.tuples(inner, st.sampled_from(["INT", "FLOAT", "DECIMAL", "STRING", "BOOL", "TIMESTAMP"])).map(
            lambda each: f"CAST({each[0]} AS {each[1]})"
        ),
        st.tuples(inner, inner, inner).map(lambda each: f"CASE WHEN {each[0]} THEN {each[1]} ELSE {each[2]} END"),
        st.tuples(inner, inner).map(lambda each: f"NULLIF({each[0]}, {each[1]})"),
        st.tuples(inner, inner, inner).map(lambda each: f"({each[0]} IN ({each[1]}, {each[2]}))"),
        st.tuples(inner, inner, inner).map(lambda each: f"SUBSTRING({each[0]}, {each[1]}, {each[2]})"),
        inner.map(lambda each: f"({each} IS NOT MISSING)"),
        st.tuples(inner, inner).map(lambda each: f"DATE_ADD(month, {each[0]}, {each[1]})"),
    ),
    max_leaves=8,
)  # fmt: skip
JSON_DATA = (
    b'{"a":1,"b":"x","n":null,"o":{"k":"v"},"l":[1,"2"]}\n{"a":"7","b":[],"l":{}}\n{"a":1e300,"b":true}\n[1]\n"s"\n'
)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(MADE, MADE, st.booleans())
def test_any_expression_gives_a_result_or_a_fault(shown: str, condition: str, as_csv: bool) -> None:
    """What the compiler makes, DuckDB takes: whatever the types, no expression is an internal error."""
    expression = f"SELECT {shown} FROM S3Object WHERE {condition}"
    from_json = {"format": "JSON", "json": LINES, "output": None}
    from_csv = {"csv": Csv(header="USE"), "output": None}
    data = b"a,b,n,o,l\n1,x,,5,2010T\nb,true\n" if as_csv else JSON_DATA
    assert code_of(expression, data, **(from_csv if as_csv else from_json)) in EXPECTED
