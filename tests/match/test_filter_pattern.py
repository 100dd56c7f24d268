"""Filter patterns: the documented cases where they are at hand, and our own."""

import json
import os
import random
import re
import time
from pathlib import Path

import pytest

from opentrail.errors import AwsError
from opentrail.match.filter_pattern import compile_filter
from opentrail.match.filter_regex import RegexFault, compile_regex

DATA = os.environ.get("OPENTRAIL_REFERENCE_DATA", "")

EVENT = json.dumps(
    {
        "eventName": "ConsoleLogin",
        "eventSource": "signin.amazonaws.com",
        "userIdentity": {"type": "Root", "accountId": "123456789012"},
        "additionalEventData": {"MFAUsed": "No"},
        "errorCode": None,
        "count": 404,
        "ratio": 0.5,
        "flag": True,
        "off": False,
        "list": ["a", {"b": 7}],
        "with.dot": "x",
        "text404": "404",
    }
)
ACCESS = '127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'


@pytest.mark.skipif(not DATA, reason="OPENTRAIL_REFERENCE_DATA is not set")
def test_documented_cases():
    rows = json.loads((Path(DATA) / "filter_pattern_cases.json").read_text())
    wrong = [row for row in rows if compile_filter(row["pattern"])(row["message"]) is not row["expect"]]
    assert wrong == []


@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        ("", "anything", True),
        ("  ", "anything", True),
        ('""', "anything", True),
        ("*", "anything", True),
        ("err", "error", True),
        ("Err", "error", False),
        ("a b", "b then a", True),
        ("a -b", "a", True),
        ("a -b", "a b", False),
        ('-"not this"', "not that", True),
        ('-"not this"', "or not this", False),
        ("?x ?y", "only y", True),
        ("?x ?y", "none", False),
        ("?x ?y z", "z", True),  # with others, ? is ignored
        ('"a \\"quoted\\" word"', 'a "quoted" word', True),
        ("%[45]\\d\\d%", "status 503", True),
        ("%[45]\\d\\d%", "status 203", False),
        ("%^ab?c$%", "ac", True),
        ("%^ab?c$%", "abbc", False),
        ("-%\\s%", "one", True),
        ("-%\\s%", "two words", False),
    ],
)
def test_terms(pattern, message, expected):
    assert compile_filter(pattern)(message) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ('$.eventName = "ConsoleLogin"', True),
        ("$.eventName = ConsoleLogin", True),
        ("$.eventName=Console*", True),
        ('$.eventName = "*Login"', True),
        ('$.eventName = "*Log"', False),
        ("$.eventSource = signin.amazonaws.com", True),
        ("$.eventName = %^Con%", True),
        ("$.eventName != %^Con%", False),
        ('($.eventName = "ConsoleLogin") && ($.additionalEventData.MFAUsed != "Yes")', True),
        ('$.missing != "x"', True),
        ('$.missing = "x"', False),
        ("$.missing < 1", False),
        ("$.missing NOT EXISTS", True),
        ("$.errorCode NOT EXISTS", False),
        ("$.errorCode IS NULL", True),
        ("$.missing IS NULL", False),
        ("$.flag IS TRUE", True),
        ("$.flag IS FALSE", False),
        ("$.off IS FALSE", True),
        ("$.flag = true", True),
        ("$.count = 404", True),
        ("$.count = 404.0", True),
        ("$.count = 4*", True),
        ('$.count = "404"', True),
        ("$.text404 = 404", True),
        ("$.text404 > 1", False),
        ("$.count >= 404 && $.count <= 4.04e2", True),
        ("$.count > -1", True),
        ("$.ratio < 1", True),
        ("$.ratio != .5", False),
        ("$.flag > 0", False),
        ("$.list[0] = a", True),
        ("$.list[1].b = 7", True),
        ("$.list[2] NOT EXISTS", True),
        ("$.list = a", False),
        ("$.list = *", True),
        ("$.errorCode = *", False),
        ("$.['with.dot'] = x", True),
        ('$["with.dot"] = x', True),
        ("$.eventName.deeper NOT EXISTS", True),
        ("$.a = 1 || $.count = 404 && $.eventName = x", False),
        ("($.a = 1 || $.count = 404) && $.eventName = Con*", True),
        ("$.a=1||$.count=404", True),
    ],
)
def test_json(pattern, expected):
    assert compile_filter("{ " + pattern + " }")(EVENT) is expected
    assert compile_filter("{" + pattern + "}")("no JSON {") is False


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[ip, server, user, time, request, status, bytes]", True),
        ("[ip, server, user, time, request, status]", False),
        ("[ip, ...]", True),
        ("[..., bytes > 1500]", True),
        ("[..., bytes > 1600]", False),
        ("[..., status = 4*, bytes]", True),
        ("[..., status != 404, bytes]", False),
        ("[..., status = 200 || status = 404, bytes]", True),
        ("[..., (status = 200 || status = 404) && status != 404, bytes]", False),
        ("[ip = %127%, ..., request = *index*, ...]", True),
        ("[ip, ..., request = *none*, ...]", False),
        ('[..., request = "GET *", status, bytes = 1534]', True),
        ("[..., user = frank, ..., status = 404.0, ...]", True),
    ],
)
def test_words(pattern, expected):
    assert compile_filter(pattern)(ACCESS) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        *("a.b", "a:b", '"open', "%open", '"a"b', "a -", "?"),
        *("{", "{}", "{ $.a }", "{ $.a = }", "{ a = 1 }", "{ $.a = 1", "{ $.a = 1 && }", "{ ($.a = 1 }", "{ $.a > x }"),
        *("{ $.a IS EMPTY }", "{ $.a = 1 $.b = 2 }", "{ $ = 1 }", '{ $.a = "x }', "{ $.a[x] = 1 }", "{ $.a = %(a)% }"),
        *("[", "[]", "[a", "[a b]", "[a = ]", "[a = 1 || b = 2]", "[a,]", "[a IS NULL]"),
        *("%a!%", "%(a)%", "%[a%", "%a{2,1}%", "%a{9999}%", "%*%", "%a$b%", "%ü%", "%\\q%", "%%", "%a% %b% %c%"),
        "{ " + "(" * 60 + "$.a = 1" + ")" * 60 + " }",
        "x" * 1_025,
    ],
)
def test_what_is_no_pattern(pattern):
    with pytest.raises(AwsError) as caught:
        compile_filter(pattern)
    assert (caught.value.code, caught.value.status) == ("InvalidParameterException", 400)


@pytest.mark.parametrize(
    ("regex", "yes", "no"),
    [
        ("a{2,3}b", "xaab", "ab"),
        ("^a{2,}$", "aaaa", "a"),
        ("a|^b$", "xa", "bb"),
        ("[^a-c]", "d", "abc"),
        ("[a\\-]z", "-z", "bz"),
        ("[]a]x", "]x", "bx"),
        ("\\x41\\d+", "A12", "B12"),
        ("\\W\\S", " x", "xy"),
        ("colou?r", "color", "colr"),
        ("a.c", "abc", "a\nc"),
        ("\\.", ".", "a"),
        ("", "", ""),
        ("x*", "", None),
        ("ab*c+d", "acccd", "abd"),
    ],
)
def test_regexes(regex, yes, no):
    if not regex:
        with pytest.raises(RegexFault):
            compile_regex(regex)
        return
    assert compile_regex(regex).search(yes)
    assert no is None or not compile_regex(regex).search(no)


def test_regexes_find_what_those_of_python_find():
    choose = random.Random(7)
    atoms = ["a", "b", "[ab]", "[^a]", ".", "c"]
    repeats = ["", "", "*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}"]
    for _ in range(400):
        regex = "|".join(
            choose.choice(["", "", "^"])
            + "".join(choose.choice(atoms) + choose.choice(repeats) for _ in range(choose.randint(1, 5)))
            + choose.choice(["", "", "$"])
            for _ in range(choose.randint(1, 3))
        )
        mine, oracle = compile_regex(regex), re.compile(regex.replace("$", r"\Z"))
        for _ in range(20):
            text = "".join(choose.choices("abcd", k=choose.randint(0, 8)))
            assert mine.search(text) is bool(oracle.search(text)), (regex, text)


@pytest.mark.parametrize(
    "pattern",
    [
        "%[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[0-9]%",
        "%a{0,200}[ab]{0,200}[0-9]$%",
        "%[ab]*a[ab]{490}[0-9]%",
        '{ $.a = "' + "*a" * 500 + '*b" }',
        '{ $.a != "' + "*a" * 400 + '" && $.b NOT EXISTS }',
        "[" + ",".join(["..., x = *a*b*"] * 60) + "]",
    ],
)
def test_what_a_hostile_pattern_costs(pattern):
    wants = compile_filter(pattern)
    mixed = "".join(random.Random(1).choices("ab", k=200_000))
    messages = [mixed, "a" * 200_000, '{"a": "' + "a" * 200_000 + '"}', "a " * 20_000, "[" * 100_000, '{"a":' * 50_000]
    begun = time.process_time()
    for message in messages:
        wants(message)
    assert time.process_time() - begun < 2
