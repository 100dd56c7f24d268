"""What S3 accepts as lifecycle rules, and in which words it refuses the rest.

Source: API reference, PutBucketLifecycleConfiguration, and S3's answers as others recorded them. A configuration is of the
second version if its first rule has a Filter; rules then have no Prefix of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from opentrail.call import Shape
from opentrail.errors import AwsError
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.lifecycle_rules import ALL_128K, BY_CLASS, DEPTH, Filter, read_filter

RULES_MAX = 1_000
ID_MAX = 255
"""Characters of a rule's id."""
TAGS_MAX = 10
PREFIX_BYTES_MAX = 1_024
OBJECT_BYTES_MAX = 1_099_511_627_776_000
"""The greatest size a filter can name."""
INFREQUENT = frozenset({"STANDARD_IA", "ONEZONE_IA"})
INFREQUENT_DAYS_MIN = 30
CLASSES = frozenset(DEPTH[1:])
ACTIONS = (
    "Expiration",
    "Transitions",
    "NoncurrentVersionTransitions",
    "NoncurrentVersionExpiration",
    "AbortIncompleteMultipartUpload",
)


def check_rules(rules: Sequence[Shape]) -> None:
    """Raise the AwsError of the first fault of a configuration's rules."""
    if not rules:
        raise _invalid("At least one lifecycle rule must be specified.")
    if len(rules) > RULES_MAX:
        raise _invalid(f"The number of lifecycle rules must not exceed the allowed limit of {RULES_MAX} rules.")
    _check_ids(rules)
    second = rules[0].get("Filter") is not None
    for rule in rules:
        _check_rule(rule, second)
    if not second:
        _check_overlap(rules)


def check_minimum(given: str | None) -> str:
    """The header x-amz-transition-default-minimum-object-size, or its default."""
    if given not in (None, ALL_128K, BY_CLASS):
        raise _invalid(f"Invalid TransitionDefaultMinimumObjectSize found: {given}")
    return given or ALL_128K


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidRequest", message, 400)


def _argument(message: str, **fields: str) -> AwsError:
    return AwsError("InvalidArgument", message, 400, headers=None, **fields)


def _check_ids(rules: Sequence[Shape]) -> None:
    ids = [rule["ID"] for rule in rules if rule.get("ID")]
    if any(len(each) > ID_MAX for each in ids):
        raise _argument(f"ID length should not exceed allowed limit of {ID_MAX}")
    if len(set(ids)) != len(ids):
        raise _argument("Rule ID must be unique. Found same ID for more than one rule")


def _check_rule(rule: Shape, second: bool) -> None:
    if rule.get("Status") not in ("Enabled", "Disabled"):
        raise malformed()
    if rule.get("Prefix") is None and rule.get("Filter") is None:
        raise malformed()
    if second and rule.get("Prefix") is not None:
        message = "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the Filter."
        raise _invalid(message)
    if not second and rule.get("Filter") is not None:
        raise _invalid("Filter element can only be used in Lifecycle V2.")
    _check_filter(rule)
    if not any(rule.get(action) is not None for action in ACTIONS):
        raise _invalid("At least one action needs to be specified in a rule")
    found = read_filter(rule)
    what = f"filter '({_shown(found)})'" if second else f"prefix '{found.prefix}'"
    _check_expiration(rule.get("Expiration"), found)
    _check_transitions(rule, what)
    _check_noncurrent(rule, second, what)
    _check_abort(rule.get("AbortIncompleteMultipartUpload"), found)


def _shown(found: Filter) -> str:
    return ", ".join([f"prefix={found.prefix}", *(f"tag={key}={value}" for key, value in found.tags)])


def _check_filter(rule: Shape) -> None:
    given: dict[str, Any] = rule.get("Filter") or {}
    if len(given) > 1 or ("And" in given and not given["And"]):
        raise malformed()
    inner = given.get("And") or given
    tags = inner.get("Tags") or ([inner["Tag"]] if "Tag" in inner else [])
    if any(not tag.get("Key") or "Value" not in tag for tag in tags):
        raise malformed()
    if len(tags) > TAGS_MAX:
        raise _invalid(f"The number of tags in a filter must not exceed {TAGS_MAX}.")
    if len({tag["Key"] for tag in tags}) != len(tags):
        raise _invalid("Duplicate Tag Keys are not allowed.")
    prefix = inner.get("Prefix", rule.get("Prefix")) or ""
    if len(prefix.encode("utf-8", "surrogatepass")) > PREFIX_BYTES_MAX or "\0" in prefix:
        raise _invalid(f"The maximum size of a prefix is {PREFIX_BYTES_MAX}.")
    _check_sizes(inner.get("ObjectSizeGreaterThan"), inner.get("ObjectSizeLessThan"))


def _check_sizes(larger: int | None, smaller: int | None) -> None:
    if larger is not None and not 0 <= larger <= OBJECT_BYTES_MAX:
        raise _invalid(f"'ObjectSizeGreaterThan' should be between 0 and {OBJECT_BYTES_MAX}.")
    if smaller is not None and not 1 <= smaller <= OBJECT_BYTES_MAX:
        raise _invalid(f"'ObjectSizeLessThan' should be between 1 and {OBJECT_BYTES_MAX}.")
    if larger is not None and smaller is not None and smaller <= larger:
        raise _invalid("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")


def _check_expiration(given: Shape | None, found: Filter) -> None:
    if given is None:
        return
    if len(given) != 1:
        raise malformed()
    if "Days" in given and given["Days"] <= 0:
        raise _argument("'Days' for Expiration action must be a positive integer")
    if "Date" in given:
        _check_midnight(given["Date"])
    if "ExpiredObjectDeleteMarker" in given:
        _refuse_narrow(found, "ExpiredObjectDeleteMarker")


def _check_midnight(date: datetime) -> None:
    if date.timestamp() % 86_400:
        raise _argument("'Date' must be at midnight GMT", ArgumentName="Date", ArgumentValue=date.isoformat())


def _refuse_narrow(found: Filter, action: str) -> None:
    """Actions on what has neither tags nor a size."""
    if found.tags:
        raise _invalid(f"{action} cannot be specified with Tags.")
    if found.sized:
        raise _invalid(f"{action} cannot be specified with Object Size.")


def _check_transitions(rule: Shape, what: str) -> None:
    moves, expiration = rule.get("Transitions") or [], rule.get("Expiration") or {}
    for move in moves:
        if move.get("StorageClass") not in CLASSES or ("Days" in move) == ("Date" in move):
            raise malformed()
        if "Date" in move:
            _check_midnight(move["Date"])
    forms = {form for each in (expiration, *moves) for form in ("Days", "Date") if form in each}
    if len(forms) > 1 and moves:
        message = "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for "
        raise _invalid(message + what)
    _check_order(moves, "Days", "Transition", what)
    for form in forms & expiration.keys():
        if any(expiration[form] <= move[form] for move in moves):
            message = f"'{form}' in the Expiration action for {what} must be greater than '{form}' in the Transition "
            raise _argument(message + "action")


def _check_noncurrent(rule: Shape, second: bool, what: str) -> None:
    moves, expiration = rule.get("NoncurrentVersionTransitions") or [], rule.get("NoncurrentVersionExpiration")
    action = "NoncurrentVersionTransition"
    for move in moves:
        if move.get("StorageClass") not in CLASSES or "NoncurrentDays" not in move:
            raise malformed()
        _check_newer(move, second)
    _check_order(moves, "NoncurrentDays", action, what)
    if expiration is None:
        return
    days = expiration.get("NoncurrentDays")
    if days is None:
        raise malformed()
    if days <= 0:
        raise _argument("'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer")
    _check_newer(expiration, second)
    if any(days <= move["NoncurrentDays"] for move in moves):
        message = f"'NoncurrentDays' in the NoncurrentVersionExpiration action for {what} must be greater than "
        raise _argument(f"{message}'NoncurrentDays' in the {action} action")


def _check_newer(given: Shape, second: bool) -> None:
    newer = given.get("NewerNoncurrentVersions")
    if newer is None:
        return
    if not second:
        raise _invalid("NewerNoncurrentVersions element can only be used in Lifecycle V2.")
    if newer <= 0:
        raise _argument("'NewerNoncurrentVersions' must be a positive integer")


def _check_order(moves: Sequence[Shape], form: str, action: str, what: str) -> None:
    """Days of a rule's transitions: long enough for their class, no class twice, colder classes later."""
    for move in moves:
        storage_class, days = move["StorageClass"], move.get(form)
        if days is not None and days < 0:
            raise _argument(f"'{form}' for {action} action must be nonnegative")
        if days is not None and days < INFREQUENT_DAYS_MIN and storage_class in INFREQUENT:
            message = f"'{form}' in {action} action must be greater than or equal to {INFREQUENT_DAYS_MIN} for "
            raise _argument(f"{message}storageClass '{storage_class}'")
    if len({move["StorageClass"] for move in moves}) != len(moves):
        raise _invalid(f"'StorageClass' must be different for '{action}' actions in same 'Rule' with {what}")
    ordered = sorted((move for move in moves if form in move), key=lambda move: DEPTH.index(move["StorageClass"]))
    for warm, cold in pairwise(ordered):
        if cold[form] <= warm[form]:
            message = f"'{form}' in the {action} action for StorageClass '{cold['StorageClass']}' for {what} must be "
            message += f"greater than {what} in the {action} action for StorageClass '{warm['StorageClass']}'"
            raise _argument(message)


def _check_abort(given: Shape | None, found: Filter) -> None:
    if given is None:
        return
    days = given.get("DaysAfterInitiation")
    if days is None:
        raise malformed()
    if days <= 0:
        message = "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer"
        raise _argument(message)
    _refuse_narrow(found, "AbortIncompleteMultipartUpload")


def _check_overlap(rules: Sequence[Shape]) -> None:
    """Rules of the first version must not mean the same objects with the same action."""
    for action in ACTIONS:
        prefixes = sorted(rule["Prefix"] for rule in rules if rule.get(action) is not None)
        pair = next(((a, b) for a, b in pairwise(prefixes) if b.startswith(a)), None)
        if pair is not None:
            kind = action.removesuffix("s")
            raise _invalid(f"Found overlapping prefixes '{pair[0]}' and '{pair[1]}' for same action type '{kind}'")
