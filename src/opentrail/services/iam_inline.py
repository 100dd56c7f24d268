"""Inline policies: those that lie in a user, a group or a role and go with it. The same four operations for each."""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.access.policy import validate_policy
from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.service import Service
from opentrail.services.iam_common import (
    KINDS,
    Holder,
    Kind,
    encoded,
    find,
    list_items,
    missing,
    save,
    size_of,
)
from opentrail.services.iam_protected import refuse_protected
from opentrail.state import Unit

service = Service("iam")


def _put(call: Call, row: Holder, kind: Kind) -> Holder:
    """The holder with the policy; MalformedPolicyDocument, LimitExceeded."""
    refuse_protected(row)
    name, document = call.input["PolicyName"], call.input["PolicyDocument"]
    validate_policy(document, "identity")
    inline = dict(row.inline) | {name: document}
    if sum(size_of(text) for text in inline.values()) > kind.inline_max:
        message = f"Maximum policy size of {kind.inline_max} bytes exceeded for {kind.word.lower()} {row.name}"
        raise AwsError("LimitExceeded", message, 409)
    return replace(row, inline=tuple(sorted(inline.items())))


def _document(call: Call, row: Holder, kind: Kind) -> str:
    name = call.input["PolicyName"]
    document = dict(row.inline).get(name)
    if document is None:
        raise missing(f"The {kind.word.lower()} policy with name {name}")
    return document


def _register(kind: Kind) -> None:
    @service.operation(f"Put{kind.word}Policy")
    async def put(call: Call, unit: Unit) -> Shape:
        save(unit, _put(call, find(call, unit, kind), kind))
        return {}

    @service.operation(f"Get{kind.word}Policy")
    async def get(call: Call, unit: Unit) -> Shape:
        row = find(call, unit, kind)
        document = encoded(_document(call, row, kind))
        return {kind.member: row.name, "PolicyName": call.input["PolicyName"], "PolicyDocument": document}

    @service.operation(f"List{kind.word}Policies")
    async def list_names(call: Call, unit: Unit) -> Shape:
        names, more = list_items(call, [name for name, _ in find(call, unit, kind).inline], lambda name: name)
        return {"PolicyNames": names, **more}

    @service.operation(f"Delete{kind.word}Policy")
    async def delete(call: Call, unit: Unit) -> Shape:
        row = find(call, unit, kind)
        refuse_protected(row)
        _document(call, row, kind)
        kept = tuple(pair for pair in row.inline if pair[0] != call.input["PolicyName"])
        save(unit, replace(row, inline=kept))
        return {}

    word = kind.word.lower()
    put.__doc__ = f"Write an inline policy of a {word}."
    get.__doc__ = f"Read an inline policy of a {word}."
    list_names.__doc__ = f"The names of a {word}'s inline policies."
    delete.__doc__ = f"Delete an inline policy of a {word}."


for _kind in KINDS:
    _register(_kind)
