"""The nouns of one call: what came in, who sent it, what it asks for, and what became of it.

A `Call` is filled in once, from top to bottom, by the gate; the answer, the audit record and the metrics are functions of
it. A field is added here only if the record or the answer needs it. Nothing here does I/O or knows a service. What is
made for every call is a msgspec.Struct, which is made several times faster than a dataclass.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

import msgspec

from opentrail.errors import AwsError

if TYPE_CHECKING:
    from opentrail.model.shapes import Operation

Shape = dict[str, Any]
"""AWS's own structures stay dicts, keyed by the member names of the model."""
ACCOUNT_ID = re.compile(r"\d{12}", re.ASCII)
"""What the id of an account looks like, whole."""


class Columns(Sequence[Shape]):
    """A list of structures, given member by member: how a handler answers a thousand entries at once. All columns are of
    one length; None where an entry has no such member. Whoever reads it as a list gets entries made for the moment."""

    __slots__ = ("columns",)

    def __init__(self, columns: dict[str, Sequence[Any]]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __iter__(self) -> Iterator[Shape]:
        return (self[place] for place in range(len(self)))

    @overload
    def __getitem__(self, place: int) -> Shape: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Shape]: ...
    def __getitem__(self, place: int | slice) -> Shape | Sequence[Shape]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        return {name: column[place] for name, column in self.columns.items() if column[place] is not None}


class Body(Protocol):
    """The bytes of a request, read once, in order. Reading is what asks the client to go on (`100 Continue`)."""

    length: int | None
    """Declared Content-Length in bytes; None when the body is chunked."""

    @property
    def received(self) -> int:
        """Bytes of the body taken off the wire so far (framing of aws-chunked included, of HTTP chunking not)."""
        ...

    @property
    def trailers(self) -> Mapping[str, str]:
        """Trailing headers (lower-case names) of an aws-chunked body; complete once it was read to its end."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def read_all(self, limit: int) -> bytes:
        """The whole body; raises AwsError("EntityTooLarge") as soon as it is known to exceed `limit` bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Tls:
    """What was negotiated: version (`TLSv1.3`) and cipher suite (OpenSSL or IANA name)."""

    version: str
    cipher_suite: str


@dataclass(frozen=True, slots=True)
class VpcEndpoint:
    """A VPC endpoint through which a request came: its id (`vpce-…`), its owner, its VPC, the text of its policy. The last
    three are empty where nobody has told them; no policy lets everything through, as AWS's default one does."""

    id: str
    account_id: str = ""
    vpc_id: str = ""
    policy: str = ""


class HttpRequest(msgspec.Struct):
    """One HTTP request as it stood on the wire.

    `path` and `query` are the raw, still percent-encoded text before and after the first `?`. `headers` has lower-case
    names; values are latin-1 text with outer blanks removed, repeated headers joined by `,`.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Body
    remote_ip: str
    tls: Tls | None = None
    endpoint: VpcEndpoint | None = None
    version: str = "1.1"
    """Of HTTP."""


UNKNOWN_LENGTH = -1
"""Of a stream that is being worked out while it is sent: the edge frames it (chunked transfer)."""


class ByteStream(Protocol):
    """A response body that is not held in memory."""

    length: int
    """Exact number of bytes it will yield, or UNKNOWN_LENGTH."""

    def chunks(self) -> AsyncIterator[bytes]: ...

    def runs(self) -> AsyncIterator[tuple[int, int, int]] | None:
        """(file descriptor, offset, length) of plain files in order, so that the edge may use sendfile; None when the
        bytes do not lie in files as they are. A descriptor stays open until the next one is asked for."""
        ...

    async def close(self) -> None:
        """Give back what it holds. Called exactly once, also when it was not read to its end."""
        ...


class Response(msgspec.Struct):
    """What goes back. `body` is bytes or a stream.

    With `seal` set, the edge holds the last chunk back, awaits `seal(bytes_sent, complete)` (which makes the record durable;
    `bytes_sent` counts the chunk held back when `complete`) and only then sends it. A broken connection is sealed with
    `complete=False`.
    """

    status: int
    headers: dict[str, str]
    body: bytes | ByteStream = b""
    seal: Callable[[int, bool], Awaitable[None]] | None = None


PrincipalType = Literal["Root", "IAMUser", "AssumedRole", "FederatedUser", "AWSService", "Anonymous"]


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who issued a session: the role, user or root behind temporary credentials (record: `sessionIssuer`)."""

    type: str
    principal_id: str
    arn: str
    account_id: str
    user_name: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """Temporary credentials. Times are epoch seconds. `policies` are session policies (JSON text) that narrow it."""

    issuer: Issuer | None
    created_at: int
    expires_at: int
    mfa_authenticated: bool = False
    source_identity: str = ""
    policies: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. Source: CloudTrail user guide, "CloudTrail userIdentity element".

    `arn` of an AssumedRole is the `assumed-role` ARN, of a service empty. `principal_id` is the id the record shows
    (`AIDA…`, `AROA…:session`, the account id of root). `invoked_by` is set when an AWS service acts with this identity;
    for type AWSService it is the service's own name (`cloudtrail.amazonaws.com`). `source_arn` and `source_account` say
    on whose behalf a service acts; the permission check offers them as `aws:SourceArn` and `aws:SourceAccount`.
    """

    type: PrincipalType
    account_id: str
    arn: str = ""
    principal_id: str = ""
    user_name: str = ""
    access_key_id: str = ""
    session: Session | None = None
    invoked_by: str = ""
    source_arn: str = ""
    source_account: str = ""


ANONYMOUS = Principal(type="Anonymous", account_id="anonymous")


@dataclass(frozen=True, slots=True)
class Resource:
    """One entry of the record's `resources`. `account_id` None leaves the key out; `prefix` writes ARNPrefix."""

    type: str
    arn: str
    account_id: str | None = None
    prefix: bool = False


class Evidence(msgspec.Struct):
    """What only the handler knows and only the record shows."""

    directory_arn: str = ""
    """The ARN of the directory bucket that was touched; S3 Express then is the source of the event."""
    additional: dict[str, Any] = msgspec.field(default_factory=dict)
    """Extra members of additionalEventData (`SSEApplied`, `aclRequired`, `objectSize`, …)."""
    resources: list[Resource] = msgspec.field(default_factory=list)
    """Resources beyond those derived from bucket and key (the source of a copy, a role, …), in order."""
    denied_by_endpoint: bool = False
    """The policy of the VPC endpoint refused it: nobody but the endpoint's owner gets a record."""
    owner_account_id: str = ""
    """Account that owns what was touched (the bucket's), when it is known; decides who else gets a copy."""
    response_headers: dict[str, str] = msgspec.field(default_factory=dict)
    """S3: the response headers as sent; the record selects from them."""
    object_size: int | None = None
    answered: dict[str, Any] | None = None
    """Members of responseElements that only the record shows (the key's ARN in KMS's records)."""
    caused: tuple[Call, ...] = ()
    """Calls to other services that this one made with its caller's identity, finished; recorded in the same commit."""
    witnessed: bool = False
    """The service's witness notes the call, besides its record."""


SignatureVersion = Literal["", "SigV2", "SigV4"]
AuthenticationMethod = Literal["", "AuthHeader", "QueryString", "HtmlForm"]


def nobody(_access: Access) -> bool:
    """The answer to every question before the permission check was asked at all."""
    return False


class Call(msgspec.Struct):
    """One API call. Times are epoch seconds (float). See `server.gate` for who fills in what, and when."""

    request: HttpRequest
    request_id: str
    host_id: str
    started_at: float
    operation: Operation
    region: str
    account_id: str
    """The account the call acts in: the caller's; for anonymous callers the owner's, once it is known."""
    principal: Principal = ANONYMOUS
    signature_version: SignatureVersion = ""
    authentication_method: AuthenticationMethod = ""
    input: Shape = msgspec.field(default_factory=dict)
    body: Body | None = None
    """S3: the decoded payload stream (aws-chunked framing removed); None when the input was read whole."""
    raw_body: bytes = b""
    """The body as sent, when it was read whole (XML, JSON, form); S3's requestParameters are made of it."""
    stash: dict[str, Any] = msgspec.field(default_factory=dict)
    """What a handler must not do twice when the call is walked again after a Conflict (a stored blob)."""
    may: Callable[[Access], bool] = nobody
    """Asks the one permission check a further question (never a refusal by itself). Armed while the handler runs."""

    output: Shape | None = None
    later: Callable[[], Shape] | None = None
    """Makes the output, where that takes long and the record tells nothing of it: meanwhile the record becomes durable."""
    stream: ByteStream | None = None
    """The payload of a successful answer when it is streamed."""
    status: int = 0
    """Overrides the model's success status (206, 304 …); 0 keeps it."""
    error: AwsError | None = None
    finished_at: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    evidence: Evidence = msgspec.field(default_factory=Evidence)


@dataclass(frozen=True, slots=True)
class AclGrants:
    """What an access control list gives on one resource: owner and grants, as `access.acl` reads them."""

    owner_id: str
    grants: tuple[tuple[str, str], ...]
    """(grantee, permission): the grantee a canonical user id or a group URI."""
    permission: str
    """The ACL permission that would allow this action: READ, WRITE, READ_ACP, WRITE_ACP."""


class Access(msgspec.Struct, frozen=True):
    """One question to the permission check: may the caller do `action` on `resource`?

    `resource_policy` is JSON text of the resource's own policy (bucket, topic, queue; for AssumeRole the trust policy),
    `resource_account` its owner; `acl` what its ACL grants (None: ACLs play no part). `context` adds condition keys
    (lower-case name → values) to the global ones.
    """

    action: str
    resource: str
    resource_account: str = ""
    resource_policy: str = ""
    acl: AclGrants | None = None
    context: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    restrict_public: bool = False
    """Public access block: RestrictPublicBuckets is on, so a public policy admits only the owner's account."""
    trust: bool = False
    """The resource policy is a role's trust policy, or a KMS key's: it alone decides, except that principals of its
    account named through their account also need an identity policy."""
    unless_denied: bool = False
    """Of a caller with policies of his own nobody has to allow it; but who denies it in so many words is heard."""
