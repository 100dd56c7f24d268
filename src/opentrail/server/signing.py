"""Step 2: who is it? Reads the signature, finds the key, proves the one with the other.

What fails here is answered and not recorded, as AWS does; so nothing here writes. Knows no operation's meaning.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256

from opentrail.call import ANONYMOUS, Call
from opentrail.errors import AwsError
from opentrail.server.forms import FormSigner
from opentrail.services.identity import Credentials, find_credentials, refuse_closed
from opentrail.services.s3.directory_rules import STASH as EXPRESS
from opentrail.services.s3.directory_rules import TOKEN_HEADER, open_session
from opentrail.state import House, Unit
from opentrail.wire.route import Route
from opentrail.wire.signature import read_signature, verify
from opentrail.wire.signature_faults import missing_token, respelled, wrong_region

BODY_BYTES_MAX = 8 * 1024 * 1024
"""Bytes of a request that is read whole: JSON, forms, XML documents."""
UNSIGNED_OPERATIONS = frozenset(
    {"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "ConfirmSubscription", "Unsubscribe"}
)
"""Operations whose caller has no key yet, or only a link out of a message."""
UNSIGNED_ROUTES = frozenset({"PreflightRequest", "GetWebsiteObject", "HeadWebsiteObject"})
"""S3's operations of browsers, which sign nothing. What looks like a signature belongs to another request, or nowhere."""
APART = UNSIGNED_ROUTES | {"PostObject"}
"""Operations whose signature is not where requests have it."""

_REGION = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
REGION_CHARS_MAX = 32


@lru_cache(maxsize=256)
def is_region(name: str) -> bool:
    """Can this be a region's name? It will stand in records, in ARNs and in the keys of log files. Names that other
    stores use (`garage`, `auto`) are as good as Amazon's."""
    return len(name) <= REGION_CHARS_MAX and _REGION.fullmatch(name) is not None


class Signer:
    """Finds out who calls."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._forms = FormSigner(house)

    async def sign(self, call: Call, where: Route) -> None:
        """Fill in the principal; raises the AwsError of a signature that does not hold."""
        if call.operation.name in APART and where.protocol == "rest-xml":
            await self._sign_apart(call)
            return
        request = call.request
        s3 = where.protocol == "rest-xml"
        signed = read_signature(request, s3=s3)
        if signed is None:
            if not s3 and call.operation.name not in UNSIGNED_OPERATIONS:
                raise missing_token(request)
            call.principal = ANONYMOUS
            call.account_id = ANONYMOUS.account_id
            return
        if signed.region and not is_region(signed.region):
            raise wrong_region(
                signed.dialect, signed.region, self._house.settings.region, signed.method == "QueryString"
            )
        unit = Unit(self._house, call.started_at)
        try:
            if signed.service == "s3express" and TOKEN_HEADER in request.headers:
                credentials = self._express(call, request.headers[TOKEN_HEADER], signed.access_key_id, where)
                refuse_closed(unit, credentials.principal, s3=True)
            else:
                credentials = find_credentials(unit, signed.access_key_id, signed.session_token, s3=s3)
        except AwsError as error:
            raise respelled(error, signed.dialect) from error
        digest = ""
        if not s3:
            if not call.raw_body:
                call.raw_body = await request.body.read_all(BODY_BYTES_MAX)
            digest = sha256(call.raw_body).hexdigest()
        call.stash["verified"] = verify(
            request,
            signed,
            credentials.secret,
            now=call.started_at,
            bucket_in_host=where.bucket if where.virtual_host else "",
            service=call.operation.service.signing_name,
            body_sha256=digest,
        )
        principal = credentials.principal
        call.principal = principal
        call.account_id = principal.account_id
        call.signature_version, call.authentication_method = signed.version, signed.method

    def _express(self, call: Call, token: str, access_key_id: str, where: Route) -> Credentials:
        """The credentials of a session on a directory bucket."""
        session = open_session(self._house.seal, token, access_key_id, where.bucket, call.started_at)
        call.stash[EXPRESS] = session
        return Credentials(session.secret, session.principal)

    async def _sign_apart(self, call: Call) -> None:
        if call.operation.name in UNSIGNED_ROUTES:
            call.principal = ANONYMOUS
            call.account_id = ANONYMOUS.account_id
        else:
            await self._forms.sign(call)
