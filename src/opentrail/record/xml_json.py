"""XML as S3's records show it: any document as JSON, under the name of its root.

Elements keep their names as sent; attributes, `xmlns` among them, are plain keys; one child is an object, repeated children
an array, an empty element `""`; text of digits is a number, `true` and `false` are booleans, everything else text (real
records of PutBucketTagging, PutBucketLifecycle, PutBucketReplication, PutBucketAcl). A text beside attributes stands under
`content`. Knows neither S3 nor calls; what a document may be is `wire.xml_tree`'s business.
"""

from __future__ import annotations

import re
from typing import Any, Final

from opentrail.wire.scalars import Malformed
from opentrail.wire.xml_tree import Element, parse_xml

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?\Z", re.ASCII)
CONTENT: Final = "content"


def typed(text: str) -> str | int | float | bool:
    """The text as a number or a boolean where it is the canonical spelling of one."""
    if text[:1].isdigit() or text[:1] == "-":
        match = _NUMBER.match(text)
        if match is None or text == "-0":
            return text
        return float(text) if match[1] else int(text)
    lowered = text.lower() if len(text) <= 5 else ""
    if lowered in ("true", "false"):
        return lowered == "true"
    return text


def _add(target: dict[str, Any], name: str, value: Any) -> None:  # noqa: ANN401  (JSON of any shape)
    """A second value under a name makes it an array. No value of an element is itself an array."""
    if name not in target:
        target[name] = value
    elif isinstance(target[name], list):
        target[name].append(value)
    else:
        target[name] = [target[name], value]


def element_as_json(element: Element) -> Any:  # noqa: ANN401  (JSON of any shape)
    """The value of one element; as deep as the tree, which `parse_xml` bounds."""
    members: dict[str, Any] = {name: typed(value) for name, value in element.attributes.items()}
    for child in element.children:
        _add(members, child.name, element_as_json(child))
    text = element.text.strip()
    if not members:
        return typed(text)
    if text:
        _add(members, CONTENT, typed(text))
    return members


def xml_as_json(document: bytes) -> dict[str, Any] | None:
    """`{root name: value}`, or None when the document is refused."""
    try:
        root = parse_xml(document)
    except Malformed:
        return None
    return {root.name: element_as_json(root)}
