"""Values for the members of an operation's input: mostly of the right type, often of a thing that is there.

Everything comes from the generator that is given, so the same one makes the same value."""

from __future__ import annotations

from random import Random
from typing import Any

from opentrail.model.shapes import Operation, ShapeModel

NAMES = ("fuzz-a", "fuzz-b", "fuzz-c", "victim", "k", "nobody", "default", "000000000000", "us-east-1")
"""Few names, so that what one request makes another one finds."""
TEXTS = (
    "", "a", "*", "0", "-1", "null", "true", "{}", "[]", "$.a", "../..", "%00", "\0", "\ud800", "ü" * 40, "x" * 3_000,
    "<x>", "arn:aws:s3:::fuzz-a", "arn:aws:s3:::fuzz-a/k", "arn:aws:iam::000000000000:role/victim",
    "arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:sqs:us-east-1:000000000000:fuzz-a",
    "arn:aws:sns:us-east-1:000000000000:fuzz-b", "AKIAIOSFODNN7OTHER00", '{"Version":"2012-10-17","Statement":[]}',
    '{"source":["aws.s3"]}', "fuzz-a/k", "/", "rate(5 minutes)", "2020-01-01T00:00:00Z",
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::fuzz-a/*"}}',
    "SELECT * FROM S3Object", "SELECT COUNT(*) FROM S3Object s WHERE s._1 > 1", "Enabled", "private", "SQL",
)  # fmt: skip
NUMBERS = (0, 1, 2, 5, 10, 100, 1_000, -1, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 10**30)
QUEUE, TOPIC = "http://127.0.0.1/000000000000/fuzz-a", "arn:aws:sns:us-east-1:000000000000:fuzz-b"
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}'
TRUST = POLICY.replace('"Action":"s3:GetObject","Resource":"*"', '"Action":"sts:AssumeRole","Principal":{"AWS":"*"}')
TAME: dict[str, tuple[str, ...]] = {
    "QueueUrl": (QUEUE,), "TopicArn": (TOPIC,), "PolicyDocument": (POLICY,), "AssumeRolePolicyDocument": (TRUST,),
    "EventPattern": ('{"source":["aws.s3"]}', '{"detail":{"a":[{"prefix":"b"}]}}'),
    "Expression": ("SELECT * FROM S3Object",),
    "ScheduleExpression": ("rate(5 minutes)",), "UserName": ("fuzz-a", "fuzz-b", "victim"), "RoleName": ("fuzz-a", "fuzz-b"),
    "KeyId": ("alias/fuzz-a", "fuzz-a"), "AliasName": ("alias/fuzz-a", "alias/fuzz-b"), "S3BucketName": ("fuzz-a",),
    "PolicyArn": ("arn:aws:iam::000000000000:policy/fuzz-a", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
    "CopySource": ("fuzz-a/k", "fuzz-b/k"),
    "Policy": (POLICY.replace('"Resource":"*"', '"Principal":"*","Resource":"arn:aws:s3:::fuzz-a/*"'),),
    "RoleArn": ("arn:aws:iam::000000000000:role/fuzz-a",), "logGroupName": ("fuzz-a", "fuzz-b"),
    "logStreamName": ("fuzz-a",),
}  # fmt: skip
"""What a member of this name may well be."""
DEPTH_MAX = 7
UNSEEN = frozenset(
    {"AWSAccountId", "ExpectedBucketOwner", "ExpectedSourceBucketOwner", "RequestPayer", "SkipDestinationValidation"}
)
"""Members that would mostly end a call before it begins."""


def input_of(random: Random, operation: Operation) -> dict[str, Any]:
    """An input: what is required, and some of the rest. Half of them are tame, so that they get far."""
    if operation.input is None:
        return {}
    return _structure(random, operation.input, 0, tame=random.random() < 0.5)


def _structure(random: Random, shape: ShapeModel, depth: int, *, tame: bool) -> dict[str, Any]:
    given = {}
    share = 0.1 if tame else random.choice((0.1, 0.3, 0.7))
    for member in shape.members.values():
        optional = not member.required
        if optional and tame and member.name.startswith(("Checksum", "ContentMD5", "SSE", "If", "Match")):
            continue
        if optional and (member.name in UNSEEN or random.random() > share or depth > DEPTH_MAX):
            continue
        if not tame and random.random() < 0.02:
            continue  # what is required may be forgotten
        given[member.name] = value_of(random, member.shape, depth + 1, member.name, tame=tame)
    return given


def value_of(random: Random, shape: ShapeModel, depth: int, name: str = "", *, tame: bool = False) -> Any:
    """A value that botocore can serialise for this shape."""
    kind = shape.type
    if kind == "structure":
        return _structure(random, shape, depth, tame=tame)
    if kind in ("list", "map") and depth > DEPTH_MAX:
        return [] if kind == "list" else {}
    if kind == "list" and shape.item is not None:
        return [value_of(random, shape.item.shape, depth + 1, tame=tame) for _ in range(random.choice((0, 1, 1, 2, 4)))]
    if kind == "map" and shape.value is not None:
        return {
            random.choice(TEXTS): value_of(random, shape.value.shape, depth + 1, tame=tame)
            for _ in range(random.choice((0, 1, 2)))
        }
    if kind == "boolean":
        return random.random() < 0.5
    if kind in ("integer", "long"):
        return random.choice(NUMBERS[:6] if tame else NUMBERS)
    if kind in ("float", "double"):
        return random.choice((0.0, 1.5, -1e300, 1e-9))
    if kind == "timestamp":
        return random.choice((0, 1_600_000_000, 1_893_456_000, -1, 253_402_300_799))
    if kind == "blob":
        return random.choice(
            (b"", b"x", b"a,b\n1,2\n", b'{"a":1}\n', random.randbytes(random.choice((10, 1_000, 20_000))))
        )
    return _text(random, shape, name, tame)


def _text(random: Random, shape: ShapeModel, name: str, tame: bool) -> str:
    dice = random.random()
    if tame and name in TAME:
        return random.choice(TAME[name])
    if shape.enum and dice < 0.9:
        return random.choice(sorted(shape.enum))
    if name == "Key":
        return random.choice(("k", "k", "a/b", "ü", "nobody"))
    if name == "Bucket":
        return random.choice(("fuzz-a", "fuzz-a", "fuzz-b", "fuzz-c", "nobody"))
    return random.choice(NAMES) if dice < (0.97 if tame else 0.6) else random.choice(TEXTS)
