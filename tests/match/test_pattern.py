import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail.errors import AwsError
from opentrail.match.pattern import PATTERN_CHARS_MAX, compile_pattern


def matches(pattern, event):
    text = pattern if isinstance(pattern, str) else json.dumps(pattern)
    return compile_pattern(text).matches(event if isinstance(event, (str, bytes)) else json.dumps(event))


def reason(pattern):
    with pytest.raises(AwsError) as caught:
        compile_pattern(pattern if isinstance(pattern, str) else json.dumps(pattern))
    assert caught.value.code == "InvalidEventPatternException"
    assert caught.value.status == 400
    return caught.value.message.removeprefix("Event pattern is not valid. Reason: ")


def refused(error):
    assert error.code == "InvalidEventPatternException"


TABLE = [
    (["x"], "x", True),
    (["5"], 5, False),
    ([5], "5", False),
    ([300], 3.0e2, True),
    ([1234567890123456789], 1234567890123456789, True),
    ([True], "true", False),
    ([None], None, True),
    ([None], [], False),
    (["::1"], "0:0:0:0:0:0:0:1", True),
    (["10.0.0.1"], "010.0.0.1", True),
    ([{"exactly": "::1"}], "0::1", False),
    ([{"prefix": ""}], "anything", True),
    ([{"prefix": ""}], 5, False),
    ([{"prefix": {"equals-ignore-case": "EVENT"}}], "eventB", True),
    ([{"suffix": ".png"}], "a.png", True),
    ([{"suffix": {"equals-ignore-case": ".png"}}], "a.PNG", True),
    ([{"suffix": {"equals-ignore-case": ""}}], "a", True),
    ([{"equals-ignore-case": "straße"}], "STRASSE", True),
    ([{"equals-ignore-case": "k"}], "\u212a", False),
    ([{"equals-ignore-case": "\u212a"}], "k", True),
    ([{"wildcard": "a*b*c"}], "a\nb..bc", True),
    ([{"wildcard": "ab*bc"}], "abc", False),
    ([{"wildcard": "\\*"}], "*", True),
    ([{"wildcard": "\\*"}], "x", False),
    ([{"wildcard": "*"}], "", True),
    ([{"numeric": [">", 0, "<=", 5]}], 5, True),
    ([{"numeric": [">", 0, "<=", 5]}], 0, False),
    ([{"numeric": ["=", 0]}], "0", False),
    ([{"numeric": ["=", 0]}], -0.0, True),
    ([{"cidr": "10.0.0.77/24"}], "10.0.0.1", True),
    ([{"cidr": "10.0.0.0/24"}], "10.0.1.1", False),
    ([{"cidr": "10.0.0.0/24"}], "not an address", False),
    ([{"cidr": "2001:db8::/32"}], "2001:db8::5", True),
    ([{"cidr": "::/0"}], "10.0.0.1", True),
    ([{"exists": True}], None, True),
    ([{"exists": True}], {}, False),
    ([{"exists": False}], [{"x": 1}], True),
    ([{"anything-but": "x"}], "y", True),
    ([{"anything-but": "x"}], None, True),
    ([{"anything-but": "x"}], [], False),
    ([{"anything-but": "x"}], ["x", "y"], True),
    ([{"anything-but": 5}], 5.0, False),
    ([{"anything-but": 5}], "5", True),
    ([{"anything-but": ["x", "y"]}], "y", False),
    ([{"anything-but": {"prefix": ["a", "b"]}}], "bc", False),
    ([{"anything-but": {"wildcard": "a*c"}}], "abd", True),
    ([{"anything-but": {"equals-ignore-case": "ABC"}}], "abc", False),
    ([{"anything-but": {"suffix": "c"}}], 5, True),
    (["x"], [[["x"]]], True),
]


@pytest.mark.parametrize(("values", "value", "expected"), TABLE)
def test_one_field(values, value, expected):
    assert matches({"f": values}, {"f": value}) is expected


def test_dots_join_steps():
    assert matches({"a": {"b": [1]}}, {"a.b": 1})
    assert matches({"a.b": [1]}, {"a": {"b": 1}})
    assert matches({"a.b.c": [1]}, {"a.b": {"c": 1}})


def test_repeated_keys():
    assert not matches('{"a":[1],"a":[2]}', '{"a":1}')
    assert matches('{"a":[1]}', '{"a":1,"a":2}')


def test_same_element_of_an_array():
    event = {"L": [{"p": 1, "q": 2}, {"p": 3, "q": 4}]}
    assert not matches({"L": {"p": [1], "q": [4]}}, event)
    assert matches({"L": {"p": [1], "q": [2]}}, event)
    nested = {"L": [{"M": [{"p": 1}, {"q": 2}]}, {"M": [{"p": 1, "q": 2}]}]}
    assert matches({"L": {"M": {"p": [1], "q": [2]}}}, nested)
    assert matches({"L": {"p": [1]}, "K": {"p": [2]}}, {"L": [{"p": 1}], "K": [{"p": 0}, {"p": 2}]})


def test_absence_is_judged_within_what_is_chosen():
    event = {"L": [{"a": 1, "p": 0}, {"p": 1}, {"p": 2, "z": 1}]}
    assert matches({"L": {"p": [1], "z": [{"exists": False}]}}, event)
    assert not matches({"L": {"p": [2], "z": [{"exists": False}]}}, event)
    assert not matches({"L": {"a": [{"exists": False}], "p": [1]}}, event)


def test_or_multiplies_and_overrides():
    pattern = {"s": ["x"], "$or": [{"m": [1]}, {"n": [2], "s": ["y"]}]}
    assert matches(pattern, {"s": "x", "m": 1})
    assert matches(pattern, {"s": "y", "n": 2})
    assert not matches(pattern, {"s": "x", "n": 2})
    assert not matches(pattern, {"s": "x"})


def test_documented_codepipeline_pattern():
    pattern = {"detail": {"resources": {"ARN": ["arn:aws:s3:::b/k"]}, "eventName": ["PutObject"]}}
    event = {"detail": {"eventName": "PutObject", "resources": [{"ARN": "arn:aws:s3:::b/k"}, {"ARN": "x"}]}}
    assert matches(pattern, event)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", 'Filter is not an object\n at [Source: (String)""; line: 1, column: 1]'),
        ("[]", 'Filter is not an object\n at [Source: (String)"[]"; line: 1, column: 2]'),
        ('{"a": 1}', '"a" must be an object or an array\n at [Source: (String)"{"a": 1}"; line: 1, column: 8]'),
        ('{"a":\n []}', 'Empty arrays are not allowed\n at [Source: (String)"{"a":\n []}"; line: 2, column: 4]'),
        ('{"a": [{"cidr": "1.2.3.4/32"}]}', "IPv4 mask bits must be < 32"),
        ('{"a": [{"cidr": "::/128"}]}', "IPv6 mask bits must be < 128"),
        ('{"a": [{"cidr": "1.2.3.4/-1"}]}', "Malformed CIDR, mask bits must not be negative"),
        ('{"a": [{"cidr": "1.2.3.400/8"}]}', "Invalid IP address: 1.2.3.400"),
    ],
)
def test_whole_sentences(pattern, expected):
    assert reason(pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{}", "Empty objects are not allowed"),
        ({"a": {}}, "Empty objects are not allowed"),
        ({"a": [[1]]}, "Match value must be String, number, true, false, or null"),
        ({"a": [{}]}, "Match expression name not found"),
        ({"a": [{"prefix": {}}]}, "Prefix expression name not found"),
        ({"a": [{"suffix": {"x": 1}}]}, "Unsupported suffix pattern: x"),
        ({"a": [{"prefix": "a", "suffix": "b"}]}, "Only one key allowed in match expression"),
        ({"a": [{"wildcard": "a**"}]}, "Consecutive wildcard characters at pos 2"),
        ({"a": [{"wildcard": "é\\n"}]}, "Invalid escape character at pos 3"),
        ({"a": [{"exists": "yes"}]}, "exists match pattern must be either true or false."),
        ({"a": [{"anything-but": {}}]}, "Anything-But expression name not found"),
        ({"a": [{"anything-but": [1, "a"]}]}, "Inside anything but list, either all values are number or string"),
        ({"a": [{"numeric": ["!", 1]}]}, "Unrecognized numeric range operator: !"),
        ({"a": [{"numeric": [">", 5, "<", 5]}]}, "Bottom must be less than top"),
        ({"a": [{"numeric": ["=", 1, 2]}]}, "Too many elements in numeric expression"),
        ({"a": [{"numeric": ["=", 12345678901234567890]}]}, "Cannot compare number : 12345678901234567890"),
        ({"$or": [{"a": [1]}]}, "There must have at least 2 Objects in $or relationship."),
        ({"$or": {"a": [1]}}, "It must be an Array followed with $or."),
        ({"$or": [1, 2]}, "Only JSON object is allowed in array of $or relationship."),
        ({"$or": [{"prefix": ["x"]}, {"a": [1]}]}, "prefix is Ruler reserved fieldName which cannot be used"),
        ('{"a": [01]}', "Invalid numeric value: Leading zeroes not allowed"),
        ('{"a": [NaN]}', "Non-standard token 'NaN'"),
        ('{"a": [1', "Unexpected end-of-input: expected close marker for Array"),
        ('{"a": ["x', "Unexpected end-of-input: was expecting closing quote for a string value"),
        ('{"a" 1}', "Unexpected character ('1' (code 49)): was expecting a colon"),
        ('{"a": [1 2]}', "Unexpected character ('2' (code 50)): was expecting comma to separate Array entries"),
        ('{"a": [1}', "Unexpected close marker '}': expected ']'"),
        ('{"a": ["\n"]}', "Illegal unquoted character ((CTRL-CHAR, code 10))"),
        ('{"a": ["\\q"]}', "Unrecognized character escape 'q' (code 113)"),
        ({"a": [{"wildcard": "*:*:*:*:*:event-bus/*"}]}, "Rule is too complex"),
        ({"a": [{"wildcard": f"*a*{end}"} for end in "bcde"]}, "Rule is too complex"),
    ],
)
def test_reasons(pattern, expected):
    assert reason(pattern).startswith(expected)


def test_complexity_just_within():
    assert matches({"a": [{"wildcard": "*:*:*:*:event-bus/*"}]}, {"a": "a:b:c:d:event-bus/x"})


def test_what_follows_the_object_is_ignored():
    assert matches('{"a":[1]} rubbish', {"a": 1})


HOSTILE = [
    '{"a":' * 700 + "[1]" + "}" * 700,
    '{"a":[' + "[" * 3_000,
    "{" * 4_000,
    '{"$or":[' * 500,
    "{" + ",".join(f'"$or":[{{"a{n}":[1]}},{{"b{n}":[1]}}]' for n in range(60)) + "}",
    '{"a":[{"wildcard":"' + "a*" * 1_500 + '"}]}',
    '{"a":[{"wildcard":"' + "ab*ba" * 700 + '"}]}',
    '{"a":["' + "x" * PATTERN_CHARS_MAX + '"]}',
    '{"a":[1e999999999999999999999]}x',
    '{"a":[{"numeric":["=",1e99999999]}]}',
    '{"a":[{"cidr":"' + "1" * 3000 + '/8"}]}',
    '{"a":["\\ud800"]}',
    '{"\\ud800":[{"wildcard":"\\ud800*"}]}',
    "\ufeff{}",
    "\0",
    '{"a":[' + "9" * 4_000 + "]}",
    '{"a":[{"cidr":"1.2.3.4/99999999999999"}]}',
]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_hostile_patterns_are_judged_quickly(pattern):
    started = time.process_time()
    try:
        compile_pattern.__wrapped__(pattern).matches('{"a":"x"}')
    except AwsError as error:
        refused(error)
    assert time.process_time() - started < 5  # what backtracks takes hours


def test_hostile_events_are_judged_quickly():
    stars = {"a": [{"wildcard": "*a*b*"}], "b": [{"equals-ignore-case": "x" * 100}]}
    wide = {"L": [{"p": n, "M": [{"q": n}]} for n in range(5_000)]}
    arrays = {f"k{n}": [{"p": m, "q": -m - 1} for m in range(200)] for n in range(20)}
    crossing = {f"k{n}": {"p": [{"exists": True}], "q": [{"exists": True}]} for n in range(20)}
    cases = [
        (stars, {"a": "ab" * 100_000, "b": "x" * 200_000}, False),
        ({"L": {"p": [4_999], "M": {"q": [{"exists": True}]}}}, wide, True),
        ({"L": {"p": [{"exists": True}], "M": {"q": [{"exists": True}, {"exists": False}]}, "z": ["no"]}}, wide, False),
        (crossing, arrays, True),
        ({**crossing, "zz": ["no"]}, arrays, False),
    ]
    for pattern, event, expected in cases:
        started = time.process_time()
        assert matches(pattern, event) is expected
        assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "event", ["[1]", "", '{"a":NaN}', '{"a":' + "[" * 100_000, b"\xff\xfe", '{"a":' + "9" * 5_000 + "x}"]
)
def test_broken_events_are_value_errors(event):
    with pytest.raises(ValueError):
        compile_pattern('{"a":[1]}').matches(event)


def test_deep_event_beside_what_is_asked_for():
    assert matches({"a": [1]}, '{"b":' + "[" * 300 + "]" * 300 + ',"a":1}')


@given(st.text(max_size=80))
def test_any_text_is_a_pattern_or_refused(text):
    try:
        compile_pattern.__wrapped__(text)
    except AwsError as error:
        refused(error)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["a", "b", "a.b", "prefix", "numeric", "cidr", "anything-but", "wildcard", "exists", "$or"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON, _JSON)
def test_any_json_is_judged(pattern, event):
    try:
        compiled = compile_pattern.__wrapped__(json.dumps(pattern))
    except AwsError as error:
        refused(error)
        return
    try:
        assert compiled.matches(json.dumps({"a": event})) in (True, False)
    except ValueError:
        assert "NaN" in json.dumps(event) or "Infinity" in json.dumps(event)
