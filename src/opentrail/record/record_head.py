"""A record as far as selectors, rules and the history ask for it: the rest of a line is not decoded."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class RecordResource(msgspec.Struct, frozen=True):
    """One entry of `resources`."""

    type: str = ""
    arn: str = msgspec.field(default="", name="ARN")
    arn_prefix: str = msgspec.field(default="", name="ARNPrefix")


class RecordIdentity(msgspec.Struct, frozen=True, rename="camel"):
    """The few members of `userIdentity` that are asked for."""

    type: str = ""
    arn: str = ""
    user_name: str = ""
    access_key_id: str = ""
    invoked_by: str = ""


class RecordInsight(msgspec.Struct, frozen=True, rename="camel"):
    """What is asked of an Insight event."""

    insight_type: str = ""


class RecordHead(msgspec.Struct, frozen=True, rename="camel"):
    """A record as far as selectors, rules and the history need it. Absent members are empty."""

    event_id: str = msgspec.field(default="", name="eventID")
    event_time: str = ""
    event_source: str = ""
    event_name: str = ""
    aws_region: str = ""
    event_category: str = ""
    event_type: str = ""
    error_code: str = ""
    recipient_account_id: str = ""
    session_credential_from_console: str = ""
    vpc_endpoint_id: str = ""
    read_only: bool | None = None
    management_event: bool | None = None
    user_identity: RecordIdentity = RecordIdentity()
    resources: tuple[RecordResource, ...] = ()
    insight_details: RecordInsight = RecordInsight()


read_record: Callable[[bytes], RecordHead] = msgspec.json.Decoder(RecordHead).decode
"""The head of one line. msgspec.DecodeError or ValidationError for bytes that are no record of ours."""
