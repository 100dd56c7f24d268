"""The head of a record is the same whether it is read from bytes or from a decoded record, and whatever its members are."""

from __future__ import annotations

import json
import random
from copy import deepcopy

import msgspec
import pytest

from opentrail.record.history_head import TEXT_MAX, HistoryHead, head_of, read_head
from opentrail.record.history_words import Unplaceable, found_by
from opentrail.record.lookup_event import attributes_of
from tests.followers.trail_house import data_record, record

ODD = [None, 7, 1.5, True, "", "text", "é" * 3_000, [], [1, None, {"ARN": "arn:x", "type": "T"}], {}, {"key": None},
       {"eventName": 3, "eventSource": "s"}, {"type": 5, "userName": "u" * 2_001}]  # fmt: skip


def seen(head: HistoryHead) -> object:
    try:
        return attributes_of(head), found_by(head)
    except Unplaceable as error:
        return attributes_of(head), str(error)


def test_reading_bytes_and_decoding_first_tell_the_same():
    rng = random.Random(5)
    plain = [json.loads(line) for line in (record("CreateTrail"), data_record("PutObject", "b", "k"))]
    members = [*plain[0], *plain[1], "insightDetails", "resources", "errorCode", "@timestamp", "responseElements"]
    for _ in range(1_500):
        changed = json.loads(json.dumps(rng.choice(plain)))
        for name in rng.sample(members, 3):
            inner = changed.get(name)
            if isinstance(inner, dict) and inner and rng.random() < 0.5:
                inner[rng.choice([*inner])] = deepcopy(rng.choice(ODD))
            else:
                changed[name] = deepcopy(rng.choice(ODD))
        line = json.dumps(changed).encode()
        assert seen(read_head(line)) == seen(head_of(json.loads(line)))


def test_text_counts_as_far_as_it_can_be_asked_for():
    long = {"eventName": "n" * 5_000, "userIdentity": {"userName": "u" * 5_000}}
    head = read_head(json.dumps(long).encode())
    assert (head.eventName, head.userIdentity.userName) == ("n" * TEXT_MAX, "u" * TEXT_MAX)


@pytest.mark.parametrize("line", [b"[]", b"7", b"null", b'"x"', b"{", b"", b'{"eventName":"\\ud800"}'])
def test_what_is_no_object_is_no_record(line):
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        read_head(line)
