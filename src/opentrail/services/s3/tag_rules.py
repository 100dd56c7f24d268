"""Which tags objects and buckets may have, and how a header brings them. Knows no operation.

Source: S3 user guide, "Categorizing your objects using tags"; S3's answers.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from opentrail.errors import AwsError

OBJECT_TAGS_MAX = 10
TAG_KEY_MAX, TAG_VALUE_MAX = 128, 256
TAG_TEXT = re.compile(r"[\w .:/=+\-@\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*")
"""Letters, numbers and separators of any script, and some marks."""
TAG_FIELDS_MAX = 1_000
"""Pairs of the tagging header that are looked at."""
TAGGING_HEADER = (
    "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "
    "without tag name duplicates."
)


def parse_tagging(text: str) -> tuple[tuple[str, str], ...]:
    """Tags in the form of a query string (header x-amz-tagging)."""
    if not text:
        return ()
    try:
        tags = tuple(parse_qsl(text, keep_blank_values=True, max_num_fields=TAG_FIELDS_MAX))
    except ValueError:  # more fields than anybody's tags
        tags = ()
    if not tags or len({key for key, _ in tags}) != len(tags):
        raise AwsError("InvalidArgument", TAGGING_HEADER, 400, ArgumentName="x-amz-tagging", ArgumentValue=text)
    return check_tags(tags, OBJECT_TAGS_MAX)


def check_tags(tags: tuple[tuple[str, str], ...], most: int) -> tuple[tuple[str, str], ...]:
    """Tags within S3's limits: number, lengths, no key twice, none of AWS's own."""
    if len(tags) > most:
        what = "Object" if most == OBJECT_TAGS_MAX else "Bucket"
        code = "BadRequest" if most == OBJECT_TAGS_MAX else "InvalidTag"
        raise AwsError(code, f"{what} tags cannot be greater than {most}", 400)
    if len({key for key, _ in tags}) != len(tags):
        raise AwsError("InvalidTag", "Cannot provide multiple Tags with the same key", 400)
    for key, value in tags:
        if not 1 <= len(key) <= TAG_KEY_MAX or not TAG_TEXT.fullmatch(key):
            raise AwsError("InvalidTag", "The TagKey you have provided is invalid", 400, TagKey=key[:TAG_KEY_MAX])
        if len(value) > TAG_VALUE_MAX or not TAG_TEXT.fullmatch(value):
            raise AwsError("InvalidTag", "The TagValue you have provided is invalid", 400, TagKey=key)
        if key.lower().startswith("aws:"):
            raise AwsError("InvalidTag", "System tags cannot be added/updated by requester", 400, TagKey=key)
    return tags
