"""VPC endpoints, as far as a server that is in no VPC can have them: which requests came through which endpoint.

A request is one of an endpoint's when it arrives at the address that the endpoint listens on, or when a peer that is
trusted to say so (a proxy in front of the server) names the endpoint in a header. The endpoints, their owners, VPCs and
policies stand in a file that is read at the start. Knows no permission check.
"""

from __future__ import annotations

import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentrail.access.policy import validate_policy
from opentrail.call import ACCOUNT_ID, VpcEndpoint
from opentrail.errors import AwsError
from opentrail.settings import Settings

ENDPOINTS_MAX = 1_000
_ID = re.compile(r"vpce-[0-9a-zA-Z]{1,32}", re.ASCII)
_VPC = re.compile(r"vpc-[0-9a-zA-Z]{1,32}", re.ASCII)
_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
_MEMBERS = frozenset({"id", "account", "vpc", "policy", "policy_file", "listen"})

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BadEndpoints(ValueError):
    """The endpoints are not ones that there can be; the text says why."""


class UnknownEndpoint(Exception):
    """A trusted peer names an endpoint that there is not. Its request cannot be judged, so it is not answered."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoints of a server. Without a file of them, a header may name any, of which nothing else is known."""

    header: str = ""
    peers: tuple[Network, ...] = ()
    named: Mapping[str, VpcEndpoint] = field(default_factory=dict)
    listeners: tuple[tuple[str, int, VpcEndpoint], ...] = ()
    """(address, port, endpoint)."""
    closed: bool = False
    """There is a file: endpoints that it does not name do not exist."""

    def trusts(self, peer: str) -> bool:
        """May this peer (an address) name an endpoint?"""
        if not self.header:
            return False
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.peers)

    def of(self, headers: Mapping[str, str]) -> VpcEndpoint | None:
        """The endpoint that a trusted peer's request names; raises UnknownEndpoint."""
        name = headers.get(self.header)
        if not name:
            return None
        found = self.named.get(name)
        if found is None and not self.closed and _ID.fullmatch(name):
            return VpcEndpoint(name)
        if found is None:
            raise UnknownEndpoint(name)
        return found


def read_endpoints(settings: Settings) -> Endpoints:
    """What the settings and the file they name say; raises BadEndpoints."""
    header = settings.vpc_endpoint_header.strip().lower()
    if header and not _HEADER.fullmatch(header):
        raise BadEndpoints(f"vpc_endpoint_header is {header!r}; write the name of a header")
    if bool(header) != bool(settings.vpc_endpoint_peers.strip()):
        raise BadEndpoints("vpc_endpoint_header and vpc_endpoint_peers go together; give both or neither")
    peers = _networks(settings.vpc_endpoint_peers)
    if not settings.vpc_endpoints:
        return Endpoints(header, peers)
    file = Path(settings.vpc_endpoints).expanduser()
    entries = _entries(file)
    named: dict[str, VpcEndpoint] = {}
    listeners = []
    for entry in entries:
        endpoint = _endpoint(entry, file)
        if endpoint.id in named:
            raise BadEndpoints(f"{file}: the endpoint {endpoint.id} stands there twice")
        named[endpoint.id] = endpoint
        if "listen" in entry:
            listeners.append((*_address(entry["listen"], file), endpoint))
    return Endpoints(header, peers, named, tuple(listeners), closed=True)


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise BadEndpoints(f"vpc_endpoint_peers is {text!r}; write networks such as 10.0.0.0/8,192.0.2.7/32") from error


def _entries(file: Path) -> list[dict[str, Any]]:
    try:
        text = file.read_text()
        document = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise BadEndpoints(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadEndpoints(f"{file} is not {'JSON' if file.suffix == '.json' else 'TOML'}: {error}") from error
    entries = document.get("endpoint") if isinstance(document, dict) else None
    if not isinstance(entries, list) or set(document) != {"endpoint"} or len(entries) > ENDPOINTS_MAX:
        raise BadEndpoints(f"{file} must hold a list `endpoint` of up to {ENDPOINTS_MAX} tables, and nothing else")
    for entry in entries:
        if not isinstance(entry, dict) or not set(entry) <= _MEMBERS:
            raise BadEndpoints(f"{file}: an endpoint has {', '.join(sorted(_MEMBERS))}, and nothing else")
    return entries


def _endpoint(entry: dict[str, Any], file: Path) -> VpcEndpoint:
    name, account, vpc = (str(entry.get(member, "")) for member in ("id", "account", "vpc"))
    if not _ID.fullmatch(name):
        raise BadEndpoints(f"{file}: {name!r} is no id of a VPC endpoint; write vpce- and letters and digits")
    if not ACCOUNT_ID.fullmatch(account):
        raise BadEndpoints(f"{file}: the account of {name} is {account!r}; write twelve digits")
    if vpc and not _VPC.fullmatch(vpc):
        raise BadEndpoints(f"{file}: the vpc of {name} is {vpc!r}; write vpc- and letters and digits")
    return VpcEndpoint(name, account, vpc, _policy(entry, name, file))


def _policy(entry: dict[str, Any], name: str, file: Path) -> str:
    """The policy's text; empty without one."""
    if "policy" in entry and "policy_file" in entry:
        raise BadEndpoints(f"{file}: {name} has a policy and a policy_file; give one of them")
    given = entry.get("policy", "")
    if "policy_file" in entry:
        try:
            given = (file.parent / str(entry["policy_file"])).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BadEndpoints(f"{file}: cannot read the policy of {name}: {error}") from error
    text = given if isinstance(given, str) else json.dumps(given)
    if text:
        try:
            validate_policy(text, "resource")
        except AwsError as error:
            raise BadEndpoints(f"{file}: the policy of {name} is none: {error.message}") from error
    return text


def _address(given: Any, file: Path) -> tuple[str, int]:  # noqa: ANN401  (what somebody wrote)
    host, _, port = str(given).rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise BadEndpoints(f"{file}: listen is {given!r}; write an address and a port such as 127.0.0.1:4581")
    return host.strip("[]"), int(port)
