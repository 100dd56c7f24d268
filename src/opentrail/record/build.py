"""A finished call becomes its records: one canonical line of compact JSON (UTF-8) for each account that gets a copy.

Form: eventVersion 1.11 for every service (AWS moves its services one by one; 1.11 is the newest): the bucket before the
object in `resources`, no empty session members. Its optional measurements (`httpStatusCode`, `startTime`, `endTime`,
`turnAroundTime`) are left out; `objectSize` appears where the handler knows it. Keys stand in the order of real log files.
Pure: the event ids come from the `uuid` passed in, the times from the call. Must not know ledgers, trails or selectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from msgspec import UNSET

from opentrail.call import Call, HttpRequest, Resource, VpcEndpoint
from opentrail.errors import AwsError
from opentrail.model.shapes import Operation
from opentrail.record import parameters, s3_parameters
from opentrail.record.identity import encoded_identity, foreign_identity, is_service_call, iso_second
from opentrail.record.layout import NetworkRecord, Record, S3Additional, members
from opentrail.record.limits import TEXT_MAX, clip, render
from opentrail.record.recipients import Recipient, foreign_parameters, recipients_of, shown_owner

EVENT_VERSION: Final = "1.11"
PLANS_MAX: Final = 1_024
"""Operations whose fixed parts are kept in memory (each keeps its model there too)."""
API_VERSIONS: Final = {"logs": "20140328", "events": "2015-10-07"}
"""Services whose records carry `apiVersion` (real records); the others have none."""
EXPRESS_SOURCE: Final = "s3express.amazonaws.com"
DENIED: Final = "AccessDenied"
ENDPOINT_DENIED: Final = "VpceAccessDenied"
ENDPOINT_DENIED_MESSAGE: Final = "The request was denied due to a VPC endpoint policy"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is the same in every record of an operation."""

    event_source: str
    event_name: str
    read_only: bool
    management: bool
    category: str
    raw: bool
    api_version: str
    region: str
    """Set for services that record in one region whatever the endpoint."""


@lru_cache(maxsize=PLANS_MAX)
def _plan(operation: Operation, documented_names: bool) -> _Plan:
    facts = operation.facts
    return _Plan(
        event_source=facts.event_source,
        event_name=facts.documented_name if documented_names else facts.event_name,
        read_only=facts.read_only,
        management=facts.category == "Management",
        category=facts.category,
        raw=s3_parameters.is_raw(operation),
        api_version=API_VERSIONS.get(operation.service.name, ""),
        region="us-east-1" if facts.global_service else "",
    )


def error_code(call: Call, error: AwsError) -> str:
    """The name records give an error: S3's own code; elsewhere the shape's name (`NoSuchEntityException`), EC2's with
    `Client.` or `Server.` in front, and a refusal always `AccessDenied`."""
    service = call.operation.service
    if s3_parameters.is_raw(call.operation):
        return error.code
    if service.protocol == "ec2":
        return f"{'Server' if error.status >= 500 else 'Client'}.{error.code}"
    if error.code in ("AccessDeniedException", DENIED):
        return DENIED
    modelled = service.error_codes.get(error.code)
    return modelled.name if modelled is not None else error.code


def _user_agent(call: Call, raw: bool) -> str | None:
    given = call.request.headers.get("user-agent")
    if given is not None and len(given) > 240:
        given = clip(given, TEXT_MAX - 2)
    if is_service_call(call.principal):
        return given or call.principal.invoked_by
    if raw:
        return f"[{given or ''}]"
    return given


def _additional(call: Call) -> S3Additional | dict[str, Any]:
    """S3's additionalEventData. Bytes count what crossed the wire, framing of aws-chunked included."""
    tls, evidence = call.request.tls, call.evidence
    shown = S3Additional(
        call.signature_version or UNSET,
        UNSET if tls is None else tls.cipher_suite,
        UNSET if evidence.object_size is None else evidence.object_size,
        call.bytes_in,
        call.authentication_method or UNSET,
        call.host_id,
        call.bytes_out,
    )
    return {**members(shown), **evidence.additional} if evidence.additional else shown


def _tls_details(request: HttpRequest) -> dict[str, str]:
    tls = request.tls
    shown = {"tlsVersion": tls.version, "cipherSuite": tls.cipher_suite} if tls is not None else {}
    host = request.headers.get("host")
    if host is not None:
        shown["clientProvidedHostHeader"] = host
    return shown


def _resource(resource: Resource) -> dict[str, str]:
    entry = {} if resource.account_id is None else {"accountId": resource.account_id}
    if resource.type:
        entry["type"] = resource.type
    entry["ARNPrefix" if resource.prefix else "ARN"] = resource.arn
    return entry


def _resources(call: Call, plan: _Plan, recipient: Recipient) -> list[dict[str, str]]:
    shown = s3_parameters.resources(call, shown_owner(call, recipient)) if plan.raw else []
    if call.evidence.resources:
        shown.extend(_resource(resource) for resource in call.evidence.resources)
    return shown


def _line(call: Call, plan: _Plan, asked: Any, answered: Any, recipient: Recipient, ids: tuple[str, str]) -> bytes:  # noqa: ANN401
    """One copy, with its requestParameters and responseElements. `ids` are (eventID, sharedEventID)."""
    request, error, agent = call.request, call.error, _user_agent(call, plan.raw)
    additional = _additional(call) if plan.raw else call.evidence.additional
    refusal = UNSET if error is None else clip(error_code(call, error))
    tls = request.tls is not None and not is_service_call(call.principal)
    endpoint = request.endpoint
    record = Record(
        EVENT_VERSION,
        foreign_identity(call.principal) if recipient.foreign else encoded_identity(call.principal),
        iso_second(int(call.finished_at or call.started_at)),
        EXPRESS_SOURCE if call.evidence.directory_arn else plan.event_source,
        plan.event_name,
        plan.region or call.region,
        request.remote_ip,
        UNSET if agent is None else agent,
        refusal,
        UNSET if error is None or not error.message else clip(error.message),
        asked,
        answered,
        additional or UNSET,
        clip(call.request_id) if len(call.request_id) > 40 else call.request_id,
        ids[0],
        plan.read_only,
        _resources(call, plan, recipient) or UNSET,
        "AwsApiCall",
        plan.api_version if plan.api_version and refusal != DENIED else UNSET,
        plan.management,
        recipient.account_id,
        ids[1] if recipient.shared else UNSET,
        UNSET if endpoint is None else endpoint.id,
        UNSET if endpoint is None or not endpoint.account_id else endpoint.account_id,
        plan.category,
        _tls_details(request) if tls else UNSET,
    )
    return render(record)


def build(call: Call, uuid: Callable[[], str], documented_names: bool = False) -> list[bytes]:
    """The lines of a finished call, one for each recipient account; none for what AWS does not record.

    `uuid` gives a new random UUID each time. With `documented_names` events bear the names of the S3 guide's lists where
    those differ from real records. Never raises on what a client sent: text that cannot be encoded is replaced, what is
    too large cut (`limits`). Calls whose authentication failed are not to be given.
    """
    operation = call.operation
    if not operation.facts.recorded:
        return []
    plan = _plan(operation, documented_names)
    if call.request.endpoint is not None:
        return _lines_through(call, plan, call.request.endpoint, uuid)
    return _lines(call, plan, uuid)


def _lines(call: Call, plan: _Plan, uuid: Callable[[], str], shared: str = "") -> list[bytes]:
    """A line for each recipient; `shared` is the sharedEventID where other records of the call have it already."""
    recipients = recipients_of(call)
    if not recipients:
        return []
    dialect = s3_parameters if plan.raw else parameters
    asked, answered = dialect.request_parameters(call), dialect.response_elements(call)
    if len(recipients) == 1 and not recipients[0].shared:
        return [_line(call, plan, asked, answered, recipients[0], (uuid(), ""))]
    shared = shared or uuid()
    lines = []
    for recipient in recipients:
        shown = foreign_parameters(asked) if recipient.foreign else asked
        lines.append(_line(call, plan, shown, answered, recipient, (uuid(), shared)))
    return lines


def _lines_through(call: Call, plan: _Plan, endpoint: VpcEndpoint, uuid: Callable[[], str]) -> list[bytes]:
    """Of a call that came through a VPC endpoint: the recipients' lines, unless its policy refused the call, and a network
    activity event for the endpoint's owner, where that is known."""
    shared = uuid()
    lines = [] if call.evidence.denied_by_endpoint else _lines(call, plan, uuid, shared)
    if endpoint.account_id:
        lines.append(_network_line(call, plan, endpoint, (uuid(), shared)))
    return lines


def _network_line(call: Call, plan: _Plan, endpoint: VpcEndpoint, ids: tuple[str, str]) -> bytes:
    own = call.principal.account_id == endpoint.account_id
    denied = call.evidence.denied_by_endpoint
    record = NetworkRecord(
        EVENT_VERSION,
        encoded_identity(call.principal) if own else foreign_identity(call.principal),
        iso_second(int(call.finished_at or call.started_at)),
        plan.event_source,
        plan.event_name,
        plan.region or call.region,
        call.request.remote_ip,
        ENDPOINT_DENIED if denied else UNSET,
        ENDPOINT_DENIED_MESSAGE if denied else UNSET,
        call.request_id,
        ids[0],
        "AwsVpceEvent",
        endpoint.account_id,
        ids[1],
        endpoint.id,
        endpoint.account_id,
        "NetworkActivity",
    )
    return render(record)
