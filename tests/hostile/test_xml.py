"""XML that explodes, lies or is none, in every operation of S3 that takes XML."""

from __future__ import annotations

import time
from typing import Any

import pytest

from opentrail.model.load import load_models
from opentrail.server.wiring import SERVICES
from tests.hostile.conftest import VICTIM
from tests.hostile.raw import Attacker

NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
SECONDS_MAX = 30.0
"""A second is usual for the widest document; a busy machine takes several."""
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(9))
    + "]>"
)


def taking_xml() -> list[Any]:
    """The built operations whose payload is an XML document, with their arguments."""
    s3 = load_models().service("s3")
    found = []
    for name in sorted(SERVICES["s3"].handlers):
        shape = s3.operations[name].input
        payload = shape.members.get(shape.payload) if shape is not None and shape.payload else None
        if payload is not None and payload.shape.type == "structure" and not payload.shape.eventstream:
            found.append(s3.operations[name])
    return found


OPERATIONS = taking_xml()


def arguments(operation: Any) -> dict[str, Any]:
    given = {"Bucket": VICTIM, "Key": "k", "UploadId": "none", "VersionId": "null"}
    return {name: value for name, value in given.items() if name in operation.input.members and name != "VersionId"}


def root_of(operation: Any) -> str:
    payload = operation.input.members[operation.input.payload]
    return payload.wire_name or payload.shape.name


def bodies(root: str) -> dict[str, bytes]:
    deep = 100_000
    texts: dict[str, str | bytes] = {
        "text": "hello",
        "space": "   \n ",
        "json": '{"a":1}',
        "unclosed": f"<{root} {NS}>",
        "wrong end": f"<{root} {NS}></Other>",
        "two roots": f"<{root}/><{root}/>",
        "trailing text": f"<{root} {NS}></{root}>x",
        "wrong root": f"<Nonsense {NS}><A>1</A></Nonsense>",
        "doctype": f"<!DOCTYPE {root}><{root} {NS}/>",
        "external entity": f'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><{root} {NS}>&e;</{root}>',
        "external dtd": f'<!DOCTYPE x SYSTEM "http://169.254.169.254/x.dtd"><{root} {NS}/>',
        "laughs": LAUGHS + f"<{root} {NS}>&j;</{root}>",
        "unknown entity": f"<{root} {NS}>&nosuch;</{root}>",
        "deep": f"<{root} {NS}>" + "<a>" * deep + "</a>" * deep + f"</{root}>",
        "deep unclosed": "<a>" * deep,
        "wide": f"<{root} {NS}>" + "<a/>" * 200_000 + f"</{root}>",
        "many attributes": f"<{root} " + " ".join(f'a{n}="x"' for n in range(20_000)) + "/>",
        "same attribute twice": f'<{root} a="1" a="2"/>',
        "undeclared prefix": f"<s:{root}/>",
        "invalid utf-8": f"<{root} {NS}>".encode() + b"\xff\xfe" + f"</{root}>".encode(),
        "nul": f"<{root} {NS}>\0</{root}>",
        "nul by reference": f"<{root} {NS}>&#0;</{root}>",
        "huge reference": f"<{root} {NS}>&#x{'f' * 100};</{root}>",
        "utf-16": f'<?xml version="1.0" encoding="utf-16"?><{root} {NS}/>'.encode("utf-16"),
        "ebcdic": f'<?xml version="1.0" encoding="cp037"?><{root} {NS}/>'.encode("cp037"),
        "unknown encoding": f'<?xml version="1.0" encoding="klingon"?><{root} {NS}/>',
        "processing instruction only": '<?xml version="1.0"?>',
        "comment only": "<!-- -->",
        "cdata": f"<{root} {NS}><![CDATA[<{root}>]]></{root}>",
        "endless tag": "<" + "a" * 1_000_000,
        "huge number": f"<{root} {NS}><Part><PartNumber>{'9' * 10_000}</PartNumber></Part><Days>1e999</Days></{root}>",
        "text for structure": f"<{root} {NS}>true</{root}>",
    }
    return {name: text.encode() if isinstance(text, str) else text for name, text in texts.items()}


AGAIN = {"CreateBucket", "PutBucketLogging", "PutBucketNotification", "PutBucketNotificationConfiguration"}
"""Creating one's own bucket again is no error in us-east-1; an empty document may be meant, and turns logging or
notifications off."""


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("operation", OPERATIONS, ids=[each.name for each in OPERATIONS])
def test_no_document_hurts(attacker: Attacker, operation: Any) -> None:
    for name, body in bodies(root_of(operation)).items():
        started = time.monotonic()
        answer = attacker.call(operation, "rest-xml", arguments(operation), body)
        if operation.name in AGAIN and answer.status == 200:
            continue
        assert 400 <= answer.status < 500, (name, answer)
        assert b"<Code>" in answer.body, (name, answer)
        assert b"root:" not in answer.body
        assert time.monotonic() - started < SECONDS_MAX, name


def test_there_are_operations_to_try() -> None:
    assert len(OPERATIONS) >= 8


def test_a_document_that_is_too_large(attacker: Attacker) -> None:
    body = b"<Tagging><TagSet>" + b" " * (9 * 1024 * 1024) + b"</TagSet></Tagging>"
    answer = attacker.ask("s3", "PUT", f"/{VICTIM}?tagging", body)
    assert 400 <= answer.status < 500 or answer.status == 0
