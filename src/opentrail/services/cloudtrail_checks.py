"""What CloudTrail accepts as a name, an ARN, a bucket, a prefix or a tag, with the error it gives for the rest.

Pure checks: they see text only and know neither the state nor other services. Source of rules and codes: CloudTrail
user guide, "Naming requirements", and the documentation of the model's exceptions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from opentrail.errors import AwsError
from opentrail.rows.cloudtrail import trail_arn

TRAIL_NAME_MIN, TRAIL_NAME_MAX = 3, 128
PREFIX_MAX = 200
TOPIC_MAX = 256
TAGS_MAX = 50
TAG_KEY_MAX, TAG_VALUE_MAX = 128, 256
"""Lengths in characters, counts in tags."""

_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_ADJACENT = re.compile(r"[._-]{2}")
_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}", re.ASCII)
_ARN = re.compile(r"arn:[a-z-]+:cloudtrail:([a-z0-9-]+):(\d{12}):trail/(.+)", re.ASCII | re.DOTALL)
_OTHER_ARN = re.compile(r"arn:[a-z-]+:cloudtrail:[a-z0-9-]+:\d{12}:(eventdatastore|channel|dashboard)/(.+)", re.ASCII)
_NOT_FOUND = {
    "eventdatastore": ("EventDataStoreNotFoundException", "The specified event data store was not found."),
    "channel": ("ChannelNotFoundException", "The specified channel was not found."),
    "dashboard": ("ResourceNotFoundException", "The specified dashboard was not found."),
}
"""What is said of CloudTrail's resources other than trails, of which there are none."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_TOPIC = re.compile(r"(arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:)?[A-Za-z0-9_-]+", re.ASCII)
_TAG = re.compile(r"[\w\s.:/=+@-]*")


def check_trail_name(name: str) -> str:
    """The name; raises InvalidTrailNameException."""
    length = len(name)
    if length < TRAIL_NAME_MIN:
        raise _name_error(
            f"Trail name too short. Minimum allowed length: {TRAIL_NAME_MIN} characters."
            f" Specified name length: {length} characters."
        )
    if length > TRAIL_NAME_MAX:
        raise _name_error(
            f"Trail name too long. Maximum allowed length: {TRAIL_NAME_MAX} characters."
            f" Specified name length: {length} characters."
        )
    if not _NAME.fullmatch(name):
        raise _name_error(
            "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), hyphens (-),"
            " and underscores (_)."
        )
    if not name[0].isalnum():
        raise _name_error("Trail name must starts with a letter or number.")
    if not name[-1].isalnum():
        raise _name_error("Trail name must ends with a letter or number.")
    if _ADJACENT.search(name):
        raise _name_error("Trail name must not have adjacent periods, underscores or hyphens.")
    if _IPV4.fullmatch(name):
        raise _name_error("Trail name must not be formatted as an IP address.")
    return name


def parse_trail(given: str, account_id: str, region: str) -> tuple[str, str, str, bool]:
    """A name or an ARN as (account, region, name, is an ARN).

    Raises CloudTrailARNInvalidException or InvalidTrailNameException.
    """
    if not given.startswith("arn:"):
        return account_id, region, check_trail_name(given), False
    found = _ARN.fullmatch(given)
    if found is None:
        raise AwsError("CloudTrailARNInvalidException", f"The specified ARN is not valid: {given}.")
    return found[2], found[1], check_trail_name(found[3]), True


def arn_of(given: str, account_id: str, region: str) -> str:
    """The ARN that a name or an ARN stands for; never raises (the permission check needs one for anything)."""
    return given if given.startswith("arn:") else trail_arn(account_id, region, given)


def check_bucket(name: str) -> str:
    """The bucket's name; raises InvalidS3BucketNameException."""
    if not _BUCKET.fullmatch(name) or ".." in name or ".-" in name or "-." in name or _IPV4.fullmatch(name):
        raise AwsError("InvalidS3BucketNameException", f"Bucket name {name} is not valid.")
    return name


def check_prefix(prefix: str) -> str:
    """The prefix without outer slashes; raises InvalidS3PrefixException."""
    if len(prefix) > PREFIX_MAX:
        raise AwsError("InvalidS3PrefixException", f"S3 prefix is longer than maximum length: {PREFIX_MAX} characters.")
    if not prefix.isprintable():
        raise AwsError("InvalidS3PrefixException", "S3 prefix contains characters that are not allowed.")
    return prefix.strip("/")


def check_topic(given: str, account_id: str, region: str) -> str:
    """The topic's ARN; raises InvalidSnsTopicNameException."""
    if len(given) > TOPIC_MAX or not _TOPIC.fullmatch(given):
        raise AwsError("InvalidSnsTopicNameException", f"SNS topic name {given[:TOPIC_MAX]} is not valid.")
    return given if given.startswith("arn:") else f"arn:aws:sns:{region}:{account_id}:{given}"


def check_tags(tags: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Tags by key; raises InvalidTagParameterException or TagsLimitExceededException."""
    found: dict[str, str] = {}
    for tag in tags:
        key, value = str(tag.get("Key") or ""), str(tag.get("Value") or "")
        if not 1 <= len(key) <= TAG_KEY_MAX or len(value) > TAG_VALUE_MAX:
            raise _tag_error("A tag key has 1 to 128 characters, a tag value up to 256.")
        if not _TAG.fullmatch(key) or not _TAG.fullmatch(value) or key.lower().startswith("aws:"):
            raise _tag_error(f"Tag {key} has characters that are not allowed, or the reserved prefix aws:.")
        if key in found:
            raise _tag_error(f"Tag key {key} is given more than once.")
        found[key] = value
    return check_tag_count(found)


def check_tag_count(tags: dict[str, str]) -> dict[str, str]:
    """The tags; raises TagsLimitExceededException."""
    if len(tags) > TAGS_MAX:
        raise AwsError("TagsLimitExceededException", f"A trail can have up to {TAGS_MAX} tags.")
    return tags


def check_addressed(trail: str | None, store: str | None) -> None:
    """Of operations on either a trail or an event data store: raises InvalidParameterCombinationException unless one of them
    is given, and EventDataStoreNotFoundException for the latter: they are not built, so there is none of any name."""
    if bool(store) == bool(trail):
        raise AwsError("InvalidParameterCombinationException", "Give either a trail or an event data store.")
    if store:
        raise AwsError("EventDataStoreNotFoundException", f"There is no event data store {store}.")


def check_resource_arn(given: str) -> None:
    """Raises what AddTags, RemoveTags and ListTags give for what is no trail ARN."""
    other = _OTHER_ARN.fullmatch(given)
    if other is not None:
        raise AwsError(*_NOT_FOUND[other[1]])
    if not _ARN.fullmatch(given):
        raise AwsError("CloudTrailARNInvalidException", f"The specified ARN is not valid: {given}.")


def policy_error(given: str) -> AwsError:
    """What the operations on resource policies give: trails have none, and there is nothing else that could."""
    if _ARN.fullmatch(given):
        return AwsError("ResourceTypeNotSupportedException", "A trail cannot have a resource-based policy.")
    if not _OTHER_ARN.fullmatch(given):
        return AwsError("ResourceARNNotValidException", f"The specified ARN is not valid: {given}.")
    return AwsError("ResourceNotFoundException", f"The specified resource was not found: {given}.")


def _name_error(message: str) -> AwsError:
    return AwsError("InvalidTrailNameException", message)


def _tag_error(message: str) -> AwsError:
    return AwsError("InvalidTagParameterException", message)
