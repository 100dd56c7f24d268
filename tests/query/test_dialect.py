"""What the expressions of S3 Select mean; examples and values of the S3 user guide where it has them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.query.asked import LINES, USE, ask, of_csv, of_json

PEOPLE = b'id,name,age\n1,ann,30\n2,"b,ob",41\n3,cy,\n4,dd,x\n'
ONE = b"a\nx\n"


def value(expression: str) -> str:
    """The value of one constant expression."""
    return ask(f"SELECT {expression} FROM S3Object", ONE, csv=USE)[0].removesuffix("\n")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("-5 % 3", "-2"),
        ("7 / 2", "3"),
        ("7 / 2.0", "3.5"),
        ("0.1 + 0.2", "0.3"),
        ("- - 4", "4"),
        ("'it''s' || ' ' || 'so'", "it's so"),
        ("CHAR_LENGTH('häß')", "3"),
        ("CHARACTER_LENGTH('')", "0"),
        ("LOWER('AbC')", "abc"),
        ("UPPER('AbC')", "ABC"),
        ("SUBSTRING('123456789', 0)", "123456789"),
        ("SUBSTRING('123456789', 2)", "23456789"),
        ("SUBSTRING('123456789', -4)", "123456789"),
        ("SUBSTRING('123456789', 0, 999)", "123456789"),
        ("SUBSTRING('123456789', 1, 5)", "12345"),
        ("SUBSTRING('123456789' FROM 3 FOR 2)", "34"),
        ("SUBSTRING('123456789', 99999999999999)", ""),
        ("TRIM('       foobar         ')", "foobar"),
        ("TRIM(LEADING FROM '  foobar ')", "foobar "),
        ("TRIM(TRAILING 'r' FROM 'foobar')", "fooba"),
        ("TRIM(BOTH '12' FROM '1112211foobar22211122')", "foobar"),
        ("COALESCE(NULL, NULL, 1)", "1"),
        ("COALESCE(NULL, 'x')", "x"),
        ("NULLIF(1, 2)", "1"),
        ("NULLIF(1, 1)", ""),
        ("NULLIF(1.0, 1)", ""),
        ("CASE WHEN 1 > 2 THEN 'a' WHEN 2 > 1 THEN 'b' END", "b"),
        ("CASE 3 WHEN 1 THEN 'a' ELSE 'c' END", "c"),
        ("CASE 3 WHEN 1 THEN 'a' END", ""),
        ("CAST('17' AS INT)", "17"),
        ("CAST(1.9 AS INTEGER)", "1"),
        ("CAST('1.50' AS DECIMAL(5,2))", "1.5"),
        ("CAST('0.456' AS FLOAT)", "0.456"),
        ("CAST(1 AS STRING) || 'x'", "1x"),
        ("CAST('True' AS BOOL)", "true"),
        ("EXTRACT(YEAR FROM TO_TIMESTAMP('2010-01-01T'))", "2010"),
        ("EXTRACT(MONTH FROM TO_TIMESTAMP('2010T'))", "1"),
        ("EXTRACT(HOUR FROM TO_TIMESTAMP('2017-01-02T03:04:05+07:08'))", "19"),
        ("EXTRACT(MINUTE FROM `2017-01-02T03:04:05Z`)", "4"),
        ("EXTRACT(TIMEZONE_HOUR FROM `2017-01-02T03:04:05Z`)", "0"),
        ("DATE_ADD(year, 5, `2010-01-01T`)", "2015-01-01T00:00:00Z"),
        ("DATE_ADD(month, -1, `2010-01-31T00:00Z`)", "2009-12-31T00:00:00Z"),
        ("DATE_ADD(second, 1, `2017-01-02T03:04:05.006Z`)", "2017-01-02T03:04:06.006Z"),
        ("DATE_DIFF(year, `2010-01-01T`, `2011-01-01T`)", "1"),
        ("DATE_DIFF(month, `2010-01-01T`, `2010-05T`)", "4"),
        ("DATE_DIFF(month, `2011T`, `2010T`)", "-12"),
        ("DATE_DIFF(day, `2010-01-01T23:00Z`, `2010-01-02T01:00Z`)", "0"),
        ("TO_STRING(`1969-07-20T20:18Z`, 'MMMM d, y')", '"July 20, 1969"'),
        ("TO_STRING(`1969-07-20T20:18Z`, 'MMM d yyyy h:m a')", "Jul 20 1969 8:18 PM"),
        ("TO_STRING(`1969-07-20T20:18:13Z`, 'yyyy-MM-dd''T''HH:mm:ssX')", "1969-07-20T20:18:13Z"),
        ("UTCNOW()", "2026-01-02T03:04:05Z"),
        ("TRUE", "true"),
        ("NULL", ""),
        ("'--' /* a comment */ || 'x' -- and one more\n", "--x"),
    ],
)
def test_values(expression: str, expected: str) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("age > 35", "2"),
        ("CAST(id AS INT) >= 2", "2 3 4"),
        ("id = 1", "1"),
        ("id = '1'", "1"),
        ("id <> '1'", "2 3 4"),
        ("NOT id = '1'", "2 3 4"),
        ("name LIKE 'b%'", "2"),
        ("name LIKE '_n_'", "1"),
        ("name NOT LIKE '%n%'", "2 3 4"),
        ("name LIKE '%!_%' ESCAPE '!'", ""),
        ("'a%b_c.d' LIKE 'a!%_!__.d' ESCAPE '!' AND id = 1", "1"),
        ("'axb_c.d' LIKE 'a!%_!__.d' ESCAPE '!'", ""),
        ("'aXb\n.c' LIKE 'a_b%.c' AND id = 1", "1"),
        ("'aXbc' LIKE 'a_b.'", ""),
        ("name LIKE name AND id < 3", "1 2"),
        ("'b,ob' LIKE '%' || name || '%'", "2"),
        ("'a[x' LIKE '_[' || '%' AND id = 1", "1"),
        ("name LIKE NULL", ""),
        ("id IN ('1', '3')", "1 3"),
        ("id IN (1, 4, '2')", "1 2 4"),
        ("id NOT IN ('1', '3')", "2 4"),
        ("name BETWEEN 'b' AND 'cz'", "2 3"),
        ("id BETWEEN 2 AND 3", "2 3"),
        ("age = ''", "3"),
        ("age IS NULL", ""),
        ("age IS NOT NULL AND id < 3", "1 2"),
        ("id = '1' OR id = '2' AND name = 'ann'", "1"),
        ("(id = '1' OR id = '2') AND name = 'ann'", "1"),
        ("_2 = 'ann' OR s._1 = '4'", "1 4"),
        ("s.\"name\" = 'cy'", "3"),
        ("S.NAME = 'cy'", "3"),
        ("CHAR_LENGTH(name) = 2", "3 4"),
        ("1 = 1", "1 2 3 4"),
        ("NULL = NULL", ""),
        ("_7 IS MISSING", "1 2 3 4"),
        ("_7 IS NOT MISSING", ""),
    ],
)
def test_conditions(condition: str, ids: str) -> None:
    assert of_csv(f"SELECT s.id FROM S3Object s WHERE {condition}", PEOPLE) == ids.split()


def test_aggregates_run_over_all_batches() -> None:
    data = b"n\n" + b"".join(b"%d\n" % each for each in range(12_345))
    found = of_csv(
        "SELECT COUNT(*), SUM(CAST(n AS INT)), AVG(CAST(n AS INT)), MIN(n), MAX(n), MAX(CAST(n AS INT)) + 1 FROM S3Object",
        data,
        size=7_000,
    )
    assert found == [f"12345,{sum(range(12_345))},6172,0,12344,12345"]


def test_aggregates_of_nothing() -> None:
    assert of_csv("SELECT COUNT(*), SUM(n), MIN(n) FROM S3Object", b"n\n") == ["0,,"]
    assert of_csv("SELECT COUNT(*) FROM S3Object LIMIT 0", b"n\n1\n") == []
    assert of_csv("SELECT COUNT(*) AS c FROM S3Object s WHERE s.n > 5", b"n\n1\n9\n", output=None) == ['{"c":1}']


def test_limit_ends_the_reading() -> None:
    text, stats = ask("SELECT _1 FROM S3Object LIMIT 3", b"1\n" * 100_000, size=1_000)
    assert text == "1\n1\n1\n"
    assert stats.scanned < 20_000


def test_names_of_columns() -> None:
    [record] = of_json("SELECT s.a.b, s.a AS \"Whole A\", s.a.b + 1, s.l[0], s['x y'] z FROM S3Object s",
                       b'{"a":{"b":1},"l":[7],"x y":2}')  # fmt: skip
    assert record == {"b": 1, "Whole A": {"b": 1}, "_3": 2, "_4": 7, "z": 2}


RECORDS = b"""{"a":1,"b":{"c":[1,2,{"d":"x"}]},"n":null,"f":1.50,"t":true,"S":"str"}
{"a":"two","b":null}

{"a":12345678901234567890,"z":[]}
"""


@pytest.mark.parametrize(
    ("condition", "firsts"),
    [
        ("a > 0", [1, 12345678901234567890]),
        ("a = 'two'", ["two"]),
        ("a = 12345678901234567890", [12345678901234567890]),
        ("a = 12345678901234567891", []),
        ("a IN (1, 'two')", [1, "two"]),
        ("n IS NULL", [1, "two", 12345678901234567890]),
        ("n IS MISSING", ["two", 12345678901234567890]),
        ("n IS NULL AND n IS NOT MISSING", [1]),
        ("t", [1]),
        ("t = true", [1]),
        ("NOT t", []),
        ("s = 'str'", [1]),
        ("\"s\" = 'str'", []),
        ("\"S\" LIKE 's%'", [1]),
        ("b.c[1] = 2", [1]),
        ("b.c[2].d = 'x'", [1]),
        ("b.c[9] IS MISSING", [1, "two", 12345678901234567890]),
        ("f = 1.5 AND f < 2 AND f >= a", [1]),
        ("a > 'a'", ["two"]),
        ("f = 'x' OR a + 0 = 1", [1]),
    ],
)
def test_conditions_on_json(condition: str, firsts: list[Any]) -> None:
    assert [each["a"] for each in of_json(f"SELECT a FROM S3Object WHERE {condition}", RECORDS)] == firsts


def test_what_is_selected_comes_out_as_it_went_in() -> None:
    text, _ = ask("SELECT s.f, s.n, s.zz, s.b FROM S3Object s", RECORDS, format="JSON", json=LINES, output=None)
    assert text == '{"f":1.50,"n":null,"b":{"c":[1,2,{"d":"x"}]}}\n{"b":null}\n{}\n'
    text, _ = ask("SELECT * FROM S3Object", RECORDS, format="JSON", json=LINES, output=None)
    assert text == RECORDS.decode().replace("\n\n", "\n")


def test_json_becomes_csv() -> None:
    found = ask("SELECT s.a, s.f, s.n, s.t, s.b FROM S3Object s LIMIT 1", RECORDS, format="JSON", json=LINES)[0]
    assert found == '1,1.50,,true,"{""c"":[1,2,{""d"":""x""}]}"\n'
    assert ask("SELECT * FROM S3Object s LIMIT 1", b'{"x":"1","y":"a,b"}', format="JSON")[0] == '1,"a,b"\n'


DOCUMENT = b"""{"Rules": [ {"id": "1"}, {"expr": "y > x"}, {"id": "2", "expr": "z = DEBUG"} ]}
{ "created": "June 27",
  "modified": "July 6" }"""


@pytest.mark.parametrize(
    ("expression", "records"),
    [
        ("SELECT id FROM S3Object[*].Rules[*].id", [{"id": "1"}, {}, {"id": "2"}]),
        ("SELECT * FROM S3Object[*].rules[*]", [{"id": "1"}, {"expr": "y > x"}, {"id": "2", "expr": "z = DEBUG"}]),
        ("SELECT r.id FROM S3Object[*].Rules[*] r WHERE r.expr IS NOT MISSING", [{}, {"id": "2"}]),
        ("SELECT r.id FROM S3Object[*].Rules[2] r", [{"id": "2"}, {}]),
        ("SELECT d.modified FROM S3Object[*] d", [{}, {"modified": "July 6"}]),
        ("SELECT _1.modified FROM S3Object[*]", [{}, {"modified": "July 6"}]),
        ("SELECT COUNT(*) FROM S3Object[*].Rules[*]", [{"_1": 3}]),
        ("SELECT * FROM S3Object[*].nothing[*]", []),
    ],
)
def test_paths_into_a_document(expression: str, records: list[Any]) -> None:
    form = LINES.__class__(lines=False)
    assert of_json(expression, DOCUMENT, form, size=10) == records
