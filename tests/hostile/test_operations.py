"""Bombs and wrong types in every built operation of the services that speak JSON or forms, and every operation not built."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from opentrail.model.load import load_models
from opentrail.server.wiring import SERVICES
from tests.clients.trail_log import TrailLog
from tests.hostile.raw import Answer, Attacker
from tests.wire.oracle import SPOKEN, client_request, model_of

JSON_SERVICES = [name for name in SERVICES if load_models().service(name).protocol == "json"]
FORM_SERVICES = [name for name in SERVICES if load_models().service(name).protocol == "query"]
DEEP = 50_000
BOMBS: dict[str, bytes] = {
    "nothing": b"",
    "text": b"hello",
    "list": b"[]",
    "null": b"null",
    "number": b"1",
    "string": b'"a"',
    "unclosed": b'{"a":',
    "two": b"{}{}",
    "trailing": b"{} x",
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep in a member": b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep unclosed": b'{"a":[' * DEEP,
    "huge number": b'{"a":' + b"9" * 100_000 + b"}",
    "huge exponent": b'{"a":1e999999999}',
    "not a number": b'{"a":NaN,"b":Infinity}',
    "invalid utf-8": b'{"a":"\xff\xfe"}',
    "lone surrogate": b'{"Name":"\\ud800","a":"\\udfff"}',
    "nul": b'{"a\\u0000":"\\u0000"}',
    "raw nul": b'{"a":"\0"}',
    "utf-16": '{"a":1}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "many members": b"{" + b",".join(b'"m%d":1' % n for n in range(50_000)) + b"}",
    "many of the same": b"{" + b",".join([b'"Name":"a"'] * 50_000) + b"}",
    "long string": b'{"Name":"' + b"a" * 1_000_000 + b'"}',
    "proto": b'{"__proto__":{"a":1},"constructor":{},"__class__":"x"}',
    "comments": b"{/* a */}",
    "single quotes": b"{'a':1}",
}
WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1.5,
    -1e300,
    "",
    "\0",
    "../../x",
    "a" * 20_000,
    "\ud800",
    "arn:aws:::::",
    "{",
    [],
    [None],
    [[[]]],
    {},
    {"": None},
    {"a": {"a": {"a": []}}},
)
SECONDS_MAX = 30.0
"""Milliseconds are usual; a busy machine takes longer."""
REFUSED = range(400, 500)


def built(service: str) -> list[Any]:
    model = load_models().service(service)
    return [model.operations[name] for name in sorted(SERVICES[service].handlers)]


JSON_OPERATIONS = [each for name in JSON_SERVICES for each in built(name)]
FORM_OPERATIONS = [each for name in FORM_SERVICES for each in built(name)]


def full_name(operation: Any) -> str:
    return f"{operation.service.name}.{operation.name}"


def refused_or_done(answer: Answer) -> bool:
    """Not an internal error, and an answer at all."""
    return answer.status == 200 or answer.status in REFUSED


def ask_json(attacker: Attacker, operation: Any, body: bytes) -> Answer:
    return attacker.call(operation, "json", {}, body)


@pytest.mark.parametrize("operation", JSON_OPERATIONS, ids=full_name)
def test_json_bombs(attacker: Attacker, unchanged: list[Answer], operation: Any) -> None:
    required = any(member.required for member in operation.input.members.values()) if operation.input else False
    for name, body in BOMBS.items():
        started = time.monotonic()
        answer = ask_json(attacker, operation, body)
        assert refused_or_done(answer), (name, answer)
        unchanged += [answer] if answer.status == 200 else []
        if required and name != "many of the same":
            assert answer.status in REFUSED, (name, answer)
            assert "__type" in answer.text, (name, answer)
        assert time.monotonic() - started < SECONDS_MAX, name


@pytest.mark.parametrize("operation", JSON_OPERATIONS, ids=full_name)
def test_wrong_types_for_every_member(attacker: Attacker, unchanged: list[Answer], operation: Any) -> None:
    """One member at a time is wrong, the others are what they should be: names of things that are not there."""
    members = operation.input.members if operation.input else {}
    for member in members.values():
        for wrong in WRONG:
            value = {each.wire_name: sample(each.shape) for each in members.values() if each.required}
            value[member.wire_name] = wrong
            answer = ask_json(attacker, operation, json.dumps(value).encode())
            assert refused_or_done(answer), (member.name, wrong, answer)
            unchanged += [answer] if answer.status == 200 else []


def sample(shape: Any, depth: int = 0) -> Any:
    """Something of the right type that names nothing."""
    if shape.type == "structure":
        return {
            each.wire_name: sample(each.shape, depth + 1)
            for each in shape.members.values()
            if each.required and depth < 4
        }
    if shape.type == "list":
        return [sample(shape.item.shape, depth + 1)] if depth < 4 else []
    if shape.type == "map":
        return {}
    simple = {"string": "no-such-thing", "boolean": False, "timestamp": 1_600_000_000}
    return simple.get(shape.type, 1)


def forms(operation: Any) -> Iterator[bytes]:
    """Bodies for a query operation."""
    model = operation.service
    head = f"Action={operation.name}&Version={model.api_version}".encode()
    yield head
    yield head + b"&" * 10_000
    yield head + b"&=&=a&a=&%=%&%zz=%zz"
    yield head + b"&%ff=%ff&UserName=%00&RoleName=%ed%a0%80"
    yield head + b"&UserName=a&UserName=b" * 100
    yield head + b"".join(b"&Tags.member.%d.Key=a" % n for n in range(20_000))
    yield head + b"&Tags.member.999999999999.Key=a&Tags.member.-1.Key=b&Tags.member.x.Key=c&Tags.member=d"
    yield head + b"&" + b".".join([b"a"] * 50_000) + b"=1"
    yield head + b"&Tags" + b".member.1" * 20_000 + b"=1"
    for member in operation.input.members.values() if operation.input else ():
        name = member.wire_name.encode()
        for value in (b"", b"%00", b"a" * 10_000, b"%ff", b"1e999", b"-1", b"9" * 5_000, b"{", b"..%2F", b"&x"):
            yield head + b"&" + name + b"=" + value
        yield head + b"&" + name + b".member.1=a&" + name + b".member.1.Key.Key=b&" + name + b".entry.1.key=c"


@pytest.mark.parametrize("operation", FORM_OPERATIONS, ids=full_name)
def test_forms_that_make_no_sense(attacker: Attacker, unchanged: list[Answer], operation: Any) -> None:
    head = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    for body in forms(operation):
        started = time.monotonic()
        answer = attacker.ask(operation.service.signing_name, "POST", "/", body, head)
        assert refused_or_done(answer), (body[:200], answer)
        unchanged += [answer] if answer.status == 200 else []
        assert time.monotonic() - started < SECONDS_MAX, body[:200]


@pytest.mark.parametrize(
    ("service", "target", "body", "status"),
    [
        ("cloudtrail", "", b"{}", 400),
        ("cloudtrail", "Nonsense", b"{}", 400),
        ("cloudtrail", "Nonsense.CreateTrail", b"{}", 400),
        ("cloudtrail", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.Nonsense", b"{}", 400),
        ("cloudtrail", "AWSEvents.ListRules", b"{}", 0),
        ("events", "AWSEvents." + "A" * 50_000, b"{}", 400),
        ("events", "AWSEvents.\xff", b"{}", 400),
        ("events", "AWSEvents.__class__", b"{}", 400),
        ("events", "AWSEvents.", b"{}", 400),
        ("events", "..", b"{}", 400),
        ("nonsense", "AWSEvents.ListRules", b"{}", 0),
        ("nonsense", "Nonsense.Nonsense", b"{}", 400),
    ],
)
def test_targets_of_nothing(attacker: Attacker, service: str, target: str, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
    answer = attacker.ask(service, "POST", "/", body, headers)
    assert 400 <= answer.status < 500, answer
    assert not status or answer.status in (status, 403, 404), answer


@pytest.mark.parametrize(
    "body",
    [b"", b"Action=", b"Action=Nonsense", b"Action=ListUsers&Version=1999-01-01", b"Version=2010-05-08",
     b"Action=%00", b"Action=" + b"A" * 100_000, b"Action=ListUsers&Action=DeleteUser", b"\xff\xfe\0", b"Action=__class__"],
)  # fmt: skip
def test_actions_of_nothing(attacker: Attacker, body: bytes) -> None:
    answer = attacker.ask("iam", "POST", "/", body, {"Content-Type": "application/x-www-form-urlencoded"})
    assert refused_or_done(answer), answer


CBOR = [
    b"", b"\xa0", b"\xff", b"\x80", b"\xf6", b"\x1b" + b"\xff" * 8, b"\x5b" + b"\xff" * 8 + b"a",
    b"\x9b" + b"\x7f" * 8, b"\xbb" + b"\x7f" * 8, b"\x9f" * 100_000, b"\x81" * 100_000 + b"\x00", b"\xa1" * 50_000,
    b"\xbf\x61a\x01", b"\xa1\x01\x02", b"\xa1\x61\xff\x01", b"\xc0" * 100_000 + b"\x00", b"\xc2\x58\x20" + b"\xff" * 32,
    b"\xf9\x7e\x00", b"\xfb\x7f\xf0\0\0\0\0\0\0", b"\xa1\x69Namespace\x1b" + b"\xff" * 8, b"\xa0\xa0", b"{}",
    b"\xd8\x1c\xa0",
    b"\xa2\x69Namespace\x61a\x69Namespace\x61b", b"\xa1\x6aMetricData\x9f\xff", b"\xc1\xfb\x7f\xf8\0\0\0\0\0\0",
]  # fmt: skip


@pytest.mark.parametrize("operation", ["PutMetricData", "ListMetrics", "Nonsense", "..", "", "PutMetricData/x"])
def test_cbor_garbage(attacker: Attacker, operation: str) -> None:
    headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor", "Accept": "application/cbor"}
    for body in CBOR:
        path = f"/service/GraniteServiceVersion20100801/operation/{operation}"
        answer = attacker.ask("monitoring", "POST", path, body, headers)
        assert 400 <= answer.status < 500 or answer.status == 501, (body[:20], answer)


NOT_TOLD_APART = {
    ("s3", "ListDirectoryBuckets"),
    ("s3", "GetBucketLifecycle"),
    ("s3", "GetBucketNotification"),
    ("s3", "PutBucketLifecycle"),
    ("s3", "PutBucketNotification"),
    ("s3control", "CreateBucket"),
}
"""Operations that are another one on the wire: older twins, and those of hosts that this server is not."""


def not_built() -> list[tuple[Any, str]]:
    """Every operation of the services in scope that has no handler, in each protocol its clients speak."""
    found = []
    for name, protocol in SPOKEN:
        handlers = SERVICES[name].handlers if name in SERVICES else {}
        for operation in model_of(name, protocol).operations.values():
            if operation.name not in handlers and (name, operation.name) not in NOT_TOLD_APART:
                found.append((operation, protocol))
    return found


NOT_BUILT = not_built()


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("service", sorted({operation.service.name for operation, _ in NOT_BUILT}))
def test_what_is_not_built_says_so(attacker: Attacker, service: str) -> None:
    """AWS's NotImplemented in the service's own protocol, for arguments that would do."""
    for operation, protocol in NOT_BUILT:
        if operation.service.name != service:
            continue
        answer = ask_minimal(attacker, operation, protocol)
        assert answer.status == 501, (operation.name, protocol, answer)
        if operation.method == "HEAD":
            continue
        assert "NotImplemented" in answer.body.decode("latin-1"), (operation.name, protocol, answer)
        kind = answer.headers["content-type"]
        assert kind.startswith({"rest-xml": "application/xml", "query": "text/xml"}.get(protocol, "application/")), kind


def ask_minimal(attacker: Attacker, operation: Any, protocol: str) -> Answer:
    members = operation.input.members.values() if operation.input else ()
    value = {each.name: native(each.shape) for each in members if each.required or each.location == "uri"}
    client_request(operation, protocol, value)  # type: ignore[arg-type]
    return attacker.call(operation, protocol, value)


def native(shape: Any, depth: int = 0) -> Any:
    """As `sample`, in the types and names that botocore's serialiser takes."""
    if shape.type == "structure":
        return {
            each.name: native(each.shape, depth + 1) for each in shape.members.values() if each.required and depth < 4
        }
    if shape.type == "list":
        return [native(shape.item.shape, depth + 1)]
    if shape.type == "map":
        return {}
    least = int(getattr(shape, "min", 0) or 0)
    simple = {
        "string": "victim" + "x" * max(0, least - 6),
        "boolean": False,
        "timestamp": "2020-01-01",
        "blob": b"blob",
    }
    if shape.type == "string" and getattr(shape, "enum", None):
        return next(iter(shape.enum))
    return simple.get(shape.type, max(1, least))


def test_calls_that_are_not_built_are_recorded_as_failed(attacker: Attacker, trail: TrailLog) -> None:
    asked: dict[str, Any] = {}
    for operation, protocol in NOT_BUILT:
        facts = operation.facts
        mine = [each for each in asked.values() if each.service is operation.service]
        if len(mine) < RECORDED_OF_EACH and facts.recorded and facts.category == "Management":
            answer = ask_minimal(attacker, operation, protocol)
            found = answer.headers.get("x-amzn-requestid") or answer.headers["x-amz-request-id"]
            asked[found] = operation
    assert asked
    for request_id, operation in asked.items():
        [record] = trail.find(requestID=request_id)
        facts = operation.facts
        assert (record["eventName"], record["eventSource"]) == (facts.event_name, facts.event_source)
        assert record["errorCode"].startswith("NotImplemented"), record
        assert record["responseElements"] is None


RECORDED_OF_EACH = 3
"""Operations of each service whose record is looked for."""
