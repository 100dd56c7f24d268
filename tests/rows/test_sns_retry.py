import json

import pytest

from opentrail.rows.sns_retry import DEFAULT_POLICY, faults_of, http_pause, queue_pause


def pauses(**policy):
    text = json.dumps({"healthyRetryPolicy": policy}) if policy else ""
    found = []
    while (pause := http_pause(text, len(found) + 1)) is not None:
        found.append(pause)
    return found


def test_three_retries_twenty_seconds_apart_by_default():
    assert pauses() == [20.0] * 3


def test_phases_follow_each_other():
    given = {"numRetries": 7, "numNoDelayRetries": 2, "numMinDelayRetries": 1, "numMaxDelayRetries": 1}
    assert pauses(**given, minDelayTarget=10, maxDelayTarget=30) == [0, 0, 10, 10, 20, 30, 30]


def test_functions_bend():
    ways = [
        pauses(numRetries=3, minDelayTarget=1, maxDelayTarget=9, backoffFunction=name)[1]
        for name in ("linear", "arithmetic", "geometric", "exponential")
    ]
    assert ways == sorted(ways, reverse=True)
    assert ways[0] == 5.0


def test_no_retries():
    assert pauses(numRetries=0) == []


def test_a_topic_s_policy_is_under_http():
    text = json.dumps({"http": {"defaultHealthyRetryPolicy": {"numRetries": 0}}})
    assert http_pause(text, 1) is None


def test_queues_are_tried_at_ever_longer_pauses():
    found = [queue_pause(attempts) for attempts in (0, 1, 5, 100, 10_000)]
    assert found == [1.0, 2.0, 32.0, 3600.0, 3600.0]


@pytest.mark.parametrize(
    "policy",
    [
        {"numRetries": 101},
        {"numRetries": -1},
        {"numRetries": True},
        {"numRetries": "3"},
        {"minDelayTarget": 21},
        {"backoffFunction": "random"},
        {"backoffFunction": ["linear"]},
        {"nope": 1},
    ],
)
def test_faults(policy):
    assert faults_of(policy)


def test_the_default_has_no_fault():
    assert faults_of(DEFAULT_POLICY) == ""
