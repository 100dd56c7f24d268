"""Insight events: what is unusual in the number of calls, and the two records that tell of it.

CloudTrail compares each minute with the seven days before. How it judges is not published; the rule here is one sentence:
a minute is unusual with more than three times as many calls as usual, and more than six standard deviations of a
Poisson process above it, and it is over after five minutes in a row without that. Source: CloudTrail user guide,
"Working with CloudTrail Insights" (fields, pairs with a shared id, at most five attributions of a kind). Pure; knows no
trail and no state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

CALL_RATE, ERROR_RATE = "ApiCallRateInsight", "ApiErrorRateInsight"
INSIGHT_TYPES: Final = (CALL_RATE, ERROR_RATE)
INSIGHT: Final = "Insight"
"""Category of the records, and part of the names of their log files."""
EVENT_TYPE: Final = "AwsCloudTrailInsight"
EVENT_VERSION: Final = "1.11"
BASELINE_MINUTES: Final = 7 * 24 * 60
QUIET_MINUTES: Final = 5
"""Usual minutes in a row that end it."""
CALLS_MIN: Final = 5
"""Calls a minute below which nothing is unusual."""
ATTRIBUTIONS_MAX: Final = 5
"""Values told of each kind of attribution."""
KINDS: Final = ("userIdentityArn", "userAgent", "errorCode")


class Subject(NamedTuple):
    """What is counted: one API's calls, or its failures with one code. `category` is Management or Data."""

    type: str
    category: str
    source: str
    name: str
    error: str = ""

    @property
    def key(self) -> str:
        """Its name among the series; holds no NUL."""
        return "|".join(self)


class Moment(NamedTuple):
    """What the two records tell: `state` is Start or End, `minute` when it began or was over, since the epoch."""

    state: str
    minute: int
    account_id: str
    region: str
    event_id: str
    shared_id: str
    baseline: float
    baseline_minutes: int
    average: float
    minutes: int
    before: Mapping[str, Mapping[str, int]]
    during: Mapping[str, Mapping[str, int]]


def subjects(category: str, source: str, name: str, read_only: bool, error: str) -> list[Subject]:
    """What a call counts for: write calls for the rate of calls, failed ones for the rate of errors."""
    found = [] if read_only else [Subject(CALL_RATE, category, source, name)]
    if error:
        found.append(Subject(ERROR_RATE, category, source, name, error))
    return found


def is_unusual(calls: int, average: float) -> bool:
    """Is this many calls in one minute unusual where `average` is usual?"""
    return calls >= CALLS_MIN and calls > max(3 * average, average + 6 * math.sqrt(average))


def insight_record(subject: Subject, moment: Moment) -> bytes:
    """The canonical line of an Insight event (members in the order of the guide's example)."""
    details: dict[str, Any] = {
        "state": moment.state,
        "eventSource": subject.source,
        "eventName": subject.name,
        "insightType": subject.type,
    }
    if subject.error:
        details["errorCode"] = subject.error
    details["insightContext"] = {
        "statistics": {
            "baseline": {"average": _shown(moment.baseline)},
            "insight": {"average": _shown(moment.average)},
            "insightDuration": moment.minutes,
            "baselineDuration": moment.baseline_minutes,
        },
        "attributions": [_attribution(kind, moment) for kind in KINDS],
    }
    return msgspec.json.encode(
        {
            "eventVersion": EVENT_VERSION,
            "eventTime": datetime.fromtimestamp(moment.minute * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "awsRegion": moment.region,
            "eventID": moment.event_id,
            "eventType": EVENT_TYPE,
            "recipientAccountId": moment.account_id,
            "sharedEventID": moment.shared_id,
            "insightDetails": details,
            "eventCategory": INSIGHT,
        }
    )


def _attribution(kind: str, moment: Moment) -> dict[str, Any]:
    return {
        "attribute": kind,
        "insight": _top(moment.during.get(kind, {}), moment.minutes),
        "baseline": _top(moment.before.get(kind, {}), moment.baseline_minutes),
    }


def _top(counts: Mapping[str, int], minutes: int) -> list[dict[str, Any]]:
    """The most frequent values, with their averages; no value at all is told as `null`."""
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:ATTRIBUTIONS_MAX]
    return [{"value": value or "null", "average": _shown(count / max(minutes, 1))} for value, count in ordered]


def _shown(average: float) -> float:
    """Ten digits behind the point, as the examples have."""
    return round(average, 10)
