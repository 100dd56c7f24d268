"""The global condition keys of one request, computed only when a policy asks for them.

Source: IAM user guide, "AWS global condition context keys". Knows nothing of policies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from opentrail.call import HttpRequest, Principal, VpcEndpoint

_PRINCIPAL_TYPES = {
    "Root": "Account",
    "IAMUser": "User",
    "AssumedRole": "AssumedRole",
    "FederatedUser": "FederatedUser",
    "AWSService": "Service",
    "Anonymous": "Anonymous",
}


def iso_time(seconds: float) -> str:
    """`2026-09-21T14:13:20Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class OrganizationPlace(NamedTuple):
    """Where an account stands: its organization's id, the path to what it stands in (`o-…/r-…/ou-…/`), and the management
    account."""

    id: str
    path: str
    management_id: str


Places = Callable[[str], OrganizationPlace | None]
"""Given an account's id: where it stands; None in no organization."""


def nowhere(_account_id: str) -> None:
    """The `Places` of one who knows no organizations."""


class RequestContext(Mapping[str, tuple[str, ...]]):
    """Global keys (lower case) of a request as a mapping. `now` is epoch seconds; `places` is asked when a policy asks for
    organizations."""

    __slots__ = ("now", "places", "principal", "region", "request")

    def __init__(
        self, principal: Principal, request: HttpRequest, region: str, now: float, places: Places = nowhere
    ) -> None:
        self.places = places
        self.principal = principal
        self.request = request
        self.region = region
        self.now = now

    def __getitem__(self, key: str) -> tuple[str, ...]:
        value = self._value(key)
        if value is None:
            raise KeyError(key)
        return (value,)

    def _value(self, key: str) -> str | None:
        compute = KEYS.get(key)
        return None if compute is None else compute(self)

    def __iter__(self) -> Iterator[str]:
        return (key for key in KEYS if self._value(key) is not None)

    def __len__(self) -> int:
        return sum(1 for _key in self)


def _by_service(context: RequestContext) -> bool:
    return bool(context.principal.invoked_by)


def _source_ip(context: RequestContext) -> str | None:
    """Of the public network only: a request through a VPC endpoint has `aws:VpcSourceIp` instead."""
    return None if _by_service(context) or context.request.endpoint is not None else context.request.remote_ip


def _endpoint(member: Callable[[VpcEndpoint], str]) -> Callable[[RequestContext], str | None]:
    def read(context: RequestContext) -> str | None:
        endpoint = context.request.endpoint
        return None if endpoint is None else member(endpoint) or None

    return read


def _secure(context: RequestContext) -> str:
    return _flag(context.request.tls is not None or _by_service(context))


def _principal_arn(context: RequestContext) -> str | None:
    """Of a role session, the role's; of a service or an anonymous caller, none."""
    principal = context.principal
    if principal.type == "AssumedRole" and principal.session is not None and principal.session.issuer is not None:
        return principal.session.issuer.arn
    return principal.arn or None


def _account(context: RequestContext) -> str | None:
    return None if context.principal.type in ("Anonymous", "AWSService") else context.principal.account_id


def _organization(
    account: Callable[[RequestContext], str | None], member: Callable[[OrganizationPlace], str]
) -> Callable[[RequestContext], str | None]:
    """What is told of the organization of an account of the request."""

    def read(context: RequestContext) -> str | None:
        account_id = account(context)
        place = context.places(account_id) if account_id else None
        return None if place is None else member(place)

    return read


def _source_account(context: RequestContext) -> str | None:
    return context.principal.source_account or None


def _userid(context: RequestContext) -> str | None:
    principal = context.principal
    return "anonymous" if principal.type == "Anonymous" else principal.principal_id or None


def _username(context: RequestContext) -> str | None:
    return context.principal.user_name or None if context.principal.type == "IAMUser" else None


def _mfa(context: RequestContext) -> str | None:
    session = context.principal.session
    return None if session is None else _flag(session.mfa_authenticated)


def _mfa_age(context: RequestContext) -> str | None:
    """Seconds since the code was shown, which is when the session began."""
    session = context.principal.session
    if session is None or not session.mfa_authenticated:
        return None
    return str(max(int(context.now) - session.created_at, 0))


def _issued(context: RequestContext) -> str | None:
    session = context.principal.session
    return None if session is None else iso_time(session.created_at)


def _source_identity(context: RequestContext) -> str | None:
    session = context.principal.session
    return session.source_identity or None if session is not None else None


def _is_service(context: RequestContext) -> str:
    return _flag(context.principal.type == "AWSService")


def _service_name(context: RequestContext) -> str | None:
    return context.principal.invoked_by if context.principal.type == "AWSService" else None


def _via_service(context: RequestContext) -> str:
    return _flag(_by_service(context) and context.principal.type != "AWSService")


def _flag(value: bool) -> str:
    return "true" if value else "false"


KEYS: dict[str, Callable[[RequestContext], str | None]] = {
    "aws:currenttime": lambda context: iso_time(context.now),
    "aws:epochtime": lambda context: str(int(context.now)),
    "aws:multifactorauthage": _mfa_age,
    "aws:multifactorauthpresent": _mfa,
    "aws:principalaccount": _account,
    "aws:principalarn": _principal_arn,
    "aws:principalisawsservice": _is_service,
    "aws:principalservicename": _service_name,
    "aws:principalorgid": _organization(_account, lambda place: place.id),
    "aws:principalorgmasteraccount": _organization(_account, lambda place: place.management_id),
    "aws:principalorgpaths": _organization(_account, lambda place: place.path),
    "aws:principaltype": lambda context: _PRINCIPAL_TYPES[context.principal.type],
    "aws:referer": lambda context: context.request.headers.get("referer"),
    "aws:requestedregion": lambda context: context.region or None,
    "aws:securetransport": _secure,
    "aws:sourceaccount": _source_account,
    "aws:sourcearn": lambda context: context.principal.source_arn or None,
    "aws:sourceidentity": _source_identity,
    "aws:sourceip": _source_ip,
    "aws:sourceorgid": _organization(_source_account, lambda place: place.id),
    "aws:sourceorgpaths": _organization(_source_account, lambda place: place.path),
    "aws:sourcevpc": _endpoint(lambda endpoint: endpoint.vpc_id),
    "aws:sourcevpce": _endpoint(lambda endpoint: endpoint.id),
    "aws:tokenissuetime": _issued,
    "aws:useragent": lambda context: context.request.headers.get("user-agent"),
    "aws:userid": _userid,
    "aws:username": _username,
    "aws:viaawsservice": _via_service,
    "aws:vpceaccount": _endpoint(lambda endpoint: endpoint.account_id),
    "aws:vpcsourceip": lambda context: None if context.request.endpoint is None else context.request.remote_ip,
}
"""Key (lower case) -> its one value, None when the request does not have it."""
