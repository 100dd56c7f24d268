"""Random documents for built operations, well signed: whatever they are, no internal error."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.raw import FORM_HEAD, Answer, Attacker
from tests.hostile.test_operations import FORM_OPERATIONS, JSON_OPERATIONS
from tests.hostile.test_xml import OPERATIONS as XML_OPERATIONS
from tests.hostile.test_xml import arguments, root_of

QUICK = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXT = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", "a", "nobody", "arn:aws:s3:::nobody", "*", "{}", "[]", "null", "%00", "../..", "$.a.b", "<x>"]
    ),
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)


def sound(answer: Answer) -> bool:
    return answer.status == 200 or answer.status == 204 or 400 <= answer.status < 500 or answer.status == 501


def value_for(shape: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Mostly of the right type, sometimes of none."""
    if depth > 5:
        return SCALARS
    if shape.type == "structure":
        members = {each.wire_name: value_for(each.shape, depth + 1) for each in shape.members.values()}
        right: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional=members)
    elif shape.type == "list":
        right = st.lists(value_for(shape.item.shape, depth + 1), max_size=3)
    elif shape.type == "map":
        right = st.dictionaries(TEXT, value_for(shape.value.shape, depth + 1), max_size=3)
    elif shape.enum:
        right = st.sampled_from(sorted(shape.enum)) | TEXT
    else:
        right = {"string": TEXT, "boolean": st.booleans(), "timestamp": st.integers() | st.floats()}.get(
            shape.type, st.integers() | st.floats(allow_nan=False)
        )
    return st.integers(0, 9).flatmap(lambda dice: ANY_JSON if dice == 0 else right)


SHAPED = {operation: value_for(operation.input) for operation in JSON_OPERATIONS if operation.input}


@QUICK
@given(data=st.data())
def test_json(attacker: Attacker, data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(list(SHAPED)))
    body = json.dumps(data.draw(SHAPED[operation])).encode()
    assert sound(answer := attacker.call(operation, "json", {}, body)), (operation.name, body, answer)


@QUICK
@given(operation=st.sampled_from(JSON_OPERATIONS), body=st.binary(max_size=200))
def test_bytes_for_json(attacker: Attacker, operation: Any, body: bytes) -> None:
    assert sound(answer := attacker.call(operation, "json", {}, body)), (operation.name, body, answer)


@QUICK
@given(
    operation=st.sampled_from(FORM_OPERATIONS),
    pairs=st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(["", ".1", ".member.1", ".member.1.Key", ".x"]), TEXT), max_size=8
    ),
)
def test_forms(attacker: Attacker, operation: Any, pairs: list[tuple[int, str, str]]) -> None:
    names = [each.wire_name for each in operation.input.members.values()] if operation.input else []
    given_ = [
        (names[index] + suffix if index < len(names) else value, value.encode("utf-8", "surrogatepass"))
        for index, suffix, value in pairs
    ]
    form = [("Action", operation.name), ("Version", operation.service.api_version), *given_]
    body = urlencode([(name.encode("utf-8", "surrogatepass"), value) for name, value in form]).encode()
    answer = attacker.ask(operation.service.signing_name, "POST", "/", body, FORM_HEAD)
    assert sound(answer), (body, answer)


NAMES = st.sampled_from(
    ["Tag", "TagSet", "Key", "Value", "Part", "PartNumber", "ETag", "Object", "Quiet", "Status", "Grant", "Grantee", "Owner",
     "ID", "Permission", "AccessControlList", "Rule", "Days", "Prefix", "a", "BlockPublicAcls", "LocationConstraint"]
)  # fmt: skip
XML_TEXT = st.text(st.characters(blacklist_characters="<&", blacklist_categories=["Cs", "Cc"]), max_size=20)
XML = st.recursive(
    XML_TEXT | st.sampled_from(["1", "true", "Enabled", "9" * 400, "&amp;", "&#x41;", "<![CDATA[x]]>", "<!--x-->"]),
    lambda inner: st.lists(st.tuples(NAMES, inner), max_size=4).map(
        lambda parts: "".join(f"<{name}>{text}</{name}>" for name, text in parts)
    ),
    max_leaves=15,
)


@QUICK
@given(operation=st.sampled_from(XML_OPERATIONS), content=XML, cut=st.none() | st.integers(0, 60))
def test_xml(attacker: Attacker, operation: Any, content: str, cut: int | None) -> None:
    root = root_of(operation)
    body = f"<{root}>{content}</{root}>".encode()
    body = body if cut is None else body[: len(body) - cut]
    answer = attacker.call(operation, "rest-xml", arguments(operation), body)
    assert sound(answer), (operation.name, body, answer)


@QUICK
@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"]),
    path=st.binary(max_size=30) | st.sampled_from([b"", b"victim", b"victim/k"]),
    query=st.lists(
        st.tuples(
            st.sampled_from(
                ["acl", "policy", "tagging", "versioning", "versionId", "uploads", "uploadId", "partNumber", "list-type",
                 "max-keys", "prefix", "delimiter", "delete", "location", "x-id", "attributes", "versions", "marker"]
            ),
            TEXT,
        ),
        max_size=3,
    ),
)  # fmt: skip
def test_targets(attacker: Attacker, method: str, path: bytes, query: list[tuple[str, str]]) -> None:
    pairs = "&".join(f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in query)
    target = "/" + quote(path) + (f"?{pairs}" if pairs else "")
    if method in ("PUT", "DELETE") and target.split("?")[0].rstrip("/") in ("/victim", "/victim/k"):
        target = "/nobody" + target  # the house's own things stay for the other tests
    answer = attacker.ask("s3", method, target)
    assert sound(answer) or 200 <= answer.status < 400, (method, target, answer)
