import json
import time

import pytest

from opentrail.match.index import RuleIndex
from opentrail.match.pattern import compile_pattern


def s3_pattern(bucket, key):
    return json.dumps(
        {
            "source": ["aws.s3"],
            "detail-type": ["AWS API Call via CloudTrail"],
            "detail": {
                "eventSource": ["s3.amazonaws.com"],
                "eventName": ["CopyObject", "CompleteMultipartUpload", "PutObject"],
                "requestParameters": {"bucketName": [bucket], "key": [key]},
            },
        }
    )


def s3_event(bucket, key, name="PutObject"):
    return json.dumps(
        {
            "version": "0",
            "detail-type": "AWS API Call via CloudTrail",
            "source": "aws.s3",
            "resources": [],
            "detail": {
                "eventSource": "s3.amazonaws.com",
                "eventName": name,
                "requestParameters": {"bucketName": bucket, "key": key},
                "resources": [{"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{bucket}/{key}"}],
                "userAgent": "x" * 700,
            },
        }
    ).encode()


def index_of(*patterns):
    return RuleIndex((number, compile_pattern(pattern)) for number, pattern in enumerate(patterns))


def test_finds_all_that_match_and_only_those():
    patterns = [
        s3_pattern("b", "k"),
        s3_pattern("b", "other"),
        '{"source":[{"prefix":"aws."}]}',
        '{"detail":{"resources":{"ARN":["arn:aws:s3:::b/k"]}}}',
        '{"source":[{"exists":false}]}',
        '{"$or":[{"source":["aws.s3"]},{"source":["aws.ec2"]}]}',
    ]
    event = s3_event("b", "k")
    expected = [number for number, pattern in enumerate(patterns) if compile_pattern(pattern).matches(event)]
    assert sorted(index_of(*patterns).match(event)) == expected == [0, 2, 3, 5]


def test_empty_index():
    index = index_of()
    assert index.match(b'{"a":1}') == []
    assert not index.worth("aws.s3", "", "")


def test_worth_rules_out_by_head_alone():
    index = index_of(s3_pattern("b", "k"))
    assert index.worth("aws.s3", "AWS API Call via CloudTrail", "PutObject")
    assert not index.worth("aws.s3", "AWS API Call via CloudTrail", "GetObject")
    assert not index.worth("aws.ec2", "AWS API Call via CloudTrail", "PutObject")
    assert index_of('{"detail":{"a":[1]}}').worth("x", "y", "z")
    for number in range(10_000):
        index.worth("s", "t", str(number))


def test_thousand_rules_cost_little_more_than_one():
    one = index_of(s3_pattern("bucket-7", "key-7"))
    many = index_of(*(s3_pattern(f"bucket-{n}", f"key-{n}") for n in range(1_000)))
    event = s3_event("bucket-7", "key-7")
    assert many.match(event) == [7]

    def cost(index):
        best = 1.0
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(20):
                index.match(event)
            best = min(best, time.perf_counter() - started)
        return best

    assert cost(many) < 5 * cost(one)


def test_broken_event_is_a_value_error():
    with pytest.raises(ValueError):
        index_of('{"a":[1]}').match(b"[1]")
