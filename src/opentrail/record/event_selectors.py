"""Which records a trail wants: basic and advanced event selectors, checked and made into a predicate.

Source: CloudTrail user guide (logging data events; advanced event selectors) and API reference. Data events name their
object by `ARN`, calls on many objects (ListObjects, HeadBucket, DeleteObjects) by `ARNPrefix`, so that a selector on a key
prefix catches a listing of that prefix, and only one on the whole bucket catches HeadBucket. Must not know trails or
delivery.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from opentrail.call import Shape
from opentrail.errors import AwsError
from opentrail.record.record_head import RecordHead

SELECTORS_MAX: Final = 5
"""Basic selectors of one trail."""
DATA_RESOURCES_MAX: Final = 250
"""Values of all data resources of a trail."""
CONDITIONS_MAX: Final = 500
"""Values of all advanced selectors of a trail."""
VALUE_MAX: Final = 2_048
"""Characters of one value."""
NAME_MAX: Final = 1_000
"""Characters of an advanced selector's name."""

READ_WRITE_TYPES: Final = ("All", "ReadOnly", "WriteOnly")
EXCLUDABLE: Final = ("kms.amazonaws.com", "rdsdata.amazonaws.com")
EVERYTHING: Final = {
    "AWS::S3::Object": ("arn:aws:s3", "arn:aws:s3:::"),
    "AWS::Lambda::Function": ("arn:aws:lambda",),
    "AWS::DynamoDB::Table": ("arn:aws:dynamodb",),
}
"""The data resource types of basic selectors, and the values that mean all of them."""
PREFIXED: Final = frozenset({"AWS::S3::Object"})
"""Of these, the types whose values are prefixes; a function's or a table's ARN is meant exactly."""
DEFAULT_SELECTORS: Final[tuple[Shape, ...]] = (
    {
        "ReadWriteType": "All",
        "IncludeManagementEvents": True,
        "DataResources": [],
        "ExcludeManagementEventSources": [],
    },
)
"""What a trail without selectors logs."""

CATEGORIES: Final = ("Management", "Data", "NetworkActivity")
OPERATORS: Final = ("Equals", "NotEquals", "StartsWith", "NotStartsWith", "EndsWith", "NotEndsWith")
_COMMON: Final = frozenset(
    {"eventCategory", "readOnly", "eventName", "eventSource", "eventType", "sessionCredentialFromConsole"}
    | {"userIdentity.arn"}
)
FIELDS: Final = {
    "Management": frozenset({"eventCategory", "eventSource", "readOnly"}),
    "Data": _COMMON | {"resources.type", "resources.ARN"},
    "NetworkActivity": frozenset({"eventCategory", "eventSource", "eventName", "errorCode", "vpcEndpointId"})
    | {"userIdentity.arn"},
}
"""Fields that advanced selectors of a trail may name, by category (API reference, AdvancedFieldSelector)."""
STORE_FIELDS: Final = FIELDS | {"Management": _COMMON}
"""And those of an event data store."""
_EQUALS: Final = frozenset({"Equals"})
_RULES: Final[dict[tuple[str, str], tuple[frozenset[str], frozenset[str]]]] = {
    ("", "eventCategory"): (_EQUALS, frozenset(CATEGORIES)),
    ("", "resources.type"): (_EQUALS, frozenset()),
    ("", "readOnly"): (_EQUALS, frozenset({"true", "false"})),
    ("", "sessionCredentialFromConsole"): (frozenset({"Equals", "NotEquals"}), frozenset({"true"})),
    ("", "errorCode"): (_EQUALS, frozenset({"VpceAccessDenied"})),
    ("Management", "eventSource"): (frozenset({"NotEquals"}), frozenset(EXCLUDABLE)),
    ("NetworkActivity", "eventSource"): (_EQUALS, frozenset()),
}
"""(category or empty for all, field) → the operators it can have, and its values; no values: any. Fields that are not here
can have every operator. Source: API reference, AdvancedFieldSelector."""
_SINGLE: Final = frozenset({"eventCategory", "resources.type"})
"""Fields with exactly one value."""
_TYPE: Final = re.compile(r"AWS::[A-Za-z0-9]+::[A-Za-z0-9]+", re.ASCII)
_ARN: Final = re.compile(r"arn:[a-z-]+:[a-z0-9-]+:[^:]*:[^:]*:.+", re.ASCII | re.DOTALL)
_OBJECT_ARN: Final = re.compile(r"arn:[a-z-]+:s3:::[^/]+/.*", re.ASCII | re.DOTALL)


Predicate: TypeAlias = Callable[[RecordHead], bool]


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidEventSelectorsException", message, 400)


def _texts(value: Any, what: str) -> list[str]:  # noqa: ANN401  (what a client sent)
    """A list of texts, each of bounded length; absent is empty."""
    if value is None:
        return []
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise _invalid(f"{what} must be a list of strings.")
    for item in value:
        if not item or len(item) > VALUE_MAX:
            raise _invalid(f"A value of {what} must have 1 to {VALUE_MAX} characters.")
    return list(value)


def _shapes(value: Any, what: str) -> list[Shape]:  # noqa: ANN401  (what a client sent)
    if value is None:
        return []
    if not isinstance(value, list | tuple) or not all(isinstance(item, dict) for item in value):
        raise _invalid(f"{what} must be a list of structures.")
    return list(value)


# Basic selectors


def _check_data_resource(resource: Shape) -> int:
    """The number of values it counts for the trail's quota."""
    kind = str(resource.get("Type"))
    if kind not in EVERYTHING:
        raise _invalid(f"Data resource type {kind} is not supported. Valid types are {', '.join(EVERYTHING)}.")
    values = _texts(resource.get("Values"), "DataResources.Values")
    for value in values:
        if value in EVERYTHING[kind]:
            continue
        start = EVERYTHING[kind][0]
        whole = kind != "AWS::S3::Object" or "/" in value.removeprefix("arn:aws:s3:::")
        if not value.startswith(f"{start}:") or not whole:
            raise _invalid(f"Value {value} for DataResources.Values is invalid for the type {kind}.")
    return len([value for value in values if value not in EVERYTHING[kind]])


def check_basic(selectors: Sequence[Shape]) -> None:
    """Raise InvalidEventSelectorsException unless a trail may have these basic selectors."""
    if not 1 <= len(selectors) <= SELECTORS_MAX:
        raise _invalid(f"A trail can have 1 to {SELECTORS_MAX} event selectors.")
    values = 0
    for selector in _shapes(selectors, "EventSelectors"):
        if selector.get("ReadWriteType", "All") not in READ_WRITE_TYPES:
            raise _invalid(f"ReadWriteType must be one of {', '.join(READ_WRITE_TYPES)}.")
        excluded = _texts(selector.get("ExcludeManagementEventSources"), "ExcludeManagementEventSources")
        if not set(excluded) <= set(EXCLUDABLE):
            raise _invalid(f"ExcludeManagementEventSources can only hold {' and '.join(EXCLUDABLE)}.")
        management = selector.get("IncludeManagementEvents", True)
        if excluded and not management:
            raise _invalid("ExcludeManagementEventSources requires IncludeManagementEvents to be true.")
        resources = _shapes(selector.get("DataResources"), "DataResources")
        if not management and not resources:
            raise _invalid("An event selector must include management events or data resources.")
        values += sum(_check_data_resource(resource) for resource in resources)
    if values > DATA_RESOURCES_MAX:
        raise _invalid(f"A trail can have at most {DATA_RESOURCES_MAX} data resources across its event selectors.")


def _basic(selector: Shape) -> Predicate:
    read_write = selector.get("ReadWriteType", "All")
    wanted = {"ReadOnly": True, "WriteOnly": False}.get(read_write)
    management = bool(selector.get("IncludeManagementEvents", True))
    excluded = frozenset(selector.get("ExcludeManagementEventSources") or ())
    values: dict[str, tuple[str, ...]] = {}
    for resource in selector.get("DataResources") or ():
        values[resource["Type"]] = values.get(resource["Type"], ()) + tuple(resource.get("Values") or ())
    exact = {kind: frozenset(values.pop(kind)) for kind in list(values) if not _is_prefixed(kind, values[kind])}

    def matches(record: RecordHead) -> bool:
        if wanted is not None and record.read_only is not wanted:
            return False
        if record.event_category == "Management":
            return management and record.event_source not in excluded
        if record.event_category != "Data":
            return False
        return any(
            (found.arn or found.arn_prefix).startswith(values.get(found.type, ()))
            or (found.type in exact and found.arn in exact[found.type])
            for found in record.resources
        )

    return matches


def _is_prefixed(kind: str, values: Sequence[str]) -> bool:
    """Are the values prefixes, or one of them all there are?"""
    return kind in PREFIXED or not {*EVERYTHING[kind]}.isdisjoint(values)


# Advanced selectors


def _check_field(selector: Shape, category: str, kind: str, store: bool) -> int:
    """The number of its values; `kind` is the selector's resources.type."""
    field = str(selector.get("Field"))
    if field not in (STORE_FIELDS if store else FIELDS)[category]:
        raise _invalid(f"Field {field} is not supported for the event category {category}.")
    given = [name for name in OPERATORS if selector.get(name)]
    if not given:
        raise _invalid(f"Field {field} must have at least one operator with a value.")
    values = [value for name in given for value in _texts(selector[name], f"{field} {name}")]
    no_rule: tuple[frozenset[str], frozenset[str]] = (frozenset(OPERATORS), frozenset())
    rule = _RULES.get((category, field)) if not (store and category == "Management") else None
    operators, allowed = rule or _RULES.get(("", field)) or no_rule
    if field in _SINGLE and len(values) != 1:
        raise _invalid(f"Field {field} must have exactly one value.")
    if not operators.issuperset(given):
        raise _invalid(f"Field {field} can only have the operator {' or '.join(sorted(operators))} here.")
    if allowed and not allowed.issuperset(values):
        raise _invalid(f"Field {field} can only have the value {' or '.join(sorted(allowed))} here.")
    if field == "resources.type" and not _TYPE.fullmatch(values[0]):
        raise _invalid(f"{values[0]} is not a valid value of resources.type.")
    if field == "resources.ARN":
        _check_arns(selector, kind)
    return len(values)


def _check_arns(selector: Shape, kind: str) -> None:
    """What a resource is to equal must be the ARN of one of its type; prefixes and ends may be anything."""
    pattern = _OBJECT_ARN if kind == "AWS::S3::Object" else _ARN
    for value in (*(selector.get("Equals") or ()), *(selector.get("NotEquals") or ())):
        if not pattern.fullmatch(value):
            raise _invalid(f"Value {value} for resources.ARN is not the ARN of a resource of the type {kind}.")


def _category_of(fields: Sequence[Shape]) -> str:
    found = [field for field in fields if field.get("Field") == "eventCategory"]
    values = found[0].get("Equals") if len(found) == 1 else None
    if not isinstance(values, list | tuple) or len(values) != 1 or values[0] not in CATEGORIES:
        raise _invalid(
            f"A selector must have exactly one eventCategory field that equals one of {', '.join(CATEGORIES)}."
        )
    return str(values[0])


def _check_advanced_selector(selector: Shape, store: bool) -> int:
    name = selector.get("Name")
    if name is not None and (not isinstance(name, str) or len(name) > NAME_MAX):
        raise _invalid(f"The name of a selector can have at most {NAME_MAX} characters.")
    fields = _shapes(selector.get("FieldSelectors"), "FieldSelectors")
    category = _category_of(fields)
    names = [field.get("Field") for field in fields]
    if len({str(each) for each in names}) != len(names):
        raise _invalid("A field can only be used once in a selector.")
    if category == "Data" and "resources.type" not in names:
        raise _invalid("A selector for data events must have a resources.type field.")
    if category == "NetworkActivity" and "eventSource" not in names:
        raise _invalid("A selector for network activity events must have an eventSource field.")
    equal = next((field.get("Equals") for field in fields if field.get("Field") == "resources.type"), None)
    kind = str(equal[0]) if isinstance(equal, list | tuple) and equal else ""
    return sum(_check_field(field, category, kind, store) for field in fields)


def check_advanced(selectors: Sequence[Shape], *, store: bool = False) -> None:
    """Raise InvalidEventSelectorsException unless a trail (or an event data store) may have these advanced selectors."""
    if not selectors:
        raise _invalid("A trail must have at least one advanced event selector.")
    values = sum(_check_advanced_selector(selector, store) for selector in _shapes(selectors, "AdvancedEventSelectors"))
    if values > CONDITIONS_MAX:
        raise _invalid(f"A trail can have at most {CONDITIONS_MAX} values across its advanced event selectors.")


def _truth(value: bool | None) -> str:
    return "" if value is None else "true" if value else "false"


_READERS: Final[dict[str, Callable[[RecordHead], str]]] = {
    "eventCategory": lambda record: record.event_category,
    "readOnly": lambda record: _truth(record.read_only),
    "eventName": lambda record: record.event_name,
    "eventSource": lambda record: record.event_source,
    "eventType": lambda record: record.event_type,
    "sessionCredentialFromConsole": lambda record: record.session_credential_from_console,
    "userIdentity.arn": lambda record: record.user_identity.arn,
    "errorCode": lambda record: record.error_code,
    "vpcEndpointId": lambda record: record.vpc_endpoint_id,
}


def _test(field: Shape) -> Callable[[Sequence[str], bool], bool]:
    """A test of a field's values: one must satisfy a positive operator, none may satisfy a negative one.

    An object known by its prefix only (`whole` false) equals nothing and ends with nothing.
    """
    equals, starts, ends = (tuple(field.get(name) or ()) for name in ("Equals", "StartsWith", "EndsWith"))
    vetoes = tuple(tuple(field.get(name) or ()) for name in ("NotEquals", "NotStartsWith", "NotEndsWith"))
    positive = bool(equals or starts or ends)

    def hits(value: str, whole: bool, sets: tuple[tuple[str, ...], ...]) -> bool:
        return value.startswith(sets[1]) or (whole and (value in sets[0] or value.endswith(sets[2])))

    def test(values: Sequence[str], whole: bool) -> bool:
        if any(hits(value, whole, vetoes) for value in values):
            return False
        return not positive or any(hits(value, whole, (equals, starts, ends)) for value in values)

    return test


def _resource_test(kind: str, field: Shape | None) -> Predicate:
    test = _test(field) if field is not None else None

    def matches(record: RecordHead) -> bool:
        for found in record.resources:
            if found.type == kind and (test is None or test((found.arn or found.arn_prefix,), bool(found.arn))):
                return True
        return False

    return matches


def _field_test(name: str, field: Shape) -> Predicate:
    read, test = _READERS[name], _test(field)

    def matches(record: RecordHead) -> bool:
        value = read(record)
        return test((value,) if value else (), True)

    return matches


def _advanced(selector: Shape) -> Predicate:
    fields = {field["Field"]: field for field in selector["FieldSelectors"]}
    kinds = fields.pop("resources.type", None)
    arns = fields.pop("resources.ARN", None)
    tests = [_field_test(name, field) for name, field in fields.items()]
    if kinds is not None:
        tests.append(_resource_test(kinds["Equals"][0], arns))
    return lambda record: all(test(record) for test in tests)


def wanted_by(basic: Sequence[Shape] | None = None, advanced: Sequence[Shape] | None = None) -> Predicate:
    """A predicate over records: whether any selector wants this one. Without selectors, the default of a new trail.

    Selectors are in the API's shape and were checked when they were put: what is stored holds, whatever the rules are by
    now."""
    if advanced:
        tests = [_advanced(selector) for selector in advanced]
    else:
        tests = [_basic(selector) for selector in basic or DEFAULT_SELECTORS]
    if len(tests) == 1:
        return tests[0]
    return lambda record: any(test(record) for test in tests)
