"""PostObject's steps 2 and 3: a browser's form brings its signature, its key and the object's headers as fields.

The form is read up to where its file begins; that tells who signed it. What the fields say is then put where a PutObject
would have it: as headers and as input, so that all that follows (permissions, the object, the record) is the same road.
Only the policy is signed, so nothing of the form counts before it was held against its policy, and headers of the HTTP
request that would mean something to an object are dropped: no policy speaks of them.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from msgspec.structs import replace

from opentrail.call import ANONYMOUS, Call, HttpRequest
from opentrail.errors import AwsError
from opentrail.services.identity import find_credentials
from opentrail.state import House, Unit
from opentrail.wire.bind import MALFORMED_XML, parse_input
from opentrail.wire.checksums import PREFIX, expected_checksums
from opentrail.wire.headers import encode_text
from opentrail.wire.multipart_form import Form, read_form_head
from opentrail.wire.payload import DecodedBody
from opentrail.wire.post_policy import check_policy, read_form, verify_form
from opentrail.wire.route_s3 import KEY_BYTES_MAX
from opentrail.wire.scalars import Malformed
from opentrail.wire.xml_tree import parse_xml

FORM: Final = "form"
"""Where the form is kept in a call's stash."""
DEFAULT_CHECKSUM: Final = "CRC64NVME"
_PLAIN: Final = frozenset(
    {"cache-control", "content-type", "content-disposition", "content-encoding", "content-language", "expires"}
)
_SIGNATURE: Final = frozenset(
    {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token"}
)
_OF_THE_REQUEST: Final = frozenset({"x-amz-content-sha256", "x-amz-trailer", "x-amz-decoded-content-length"})
"""Headers that say how a request is sent; in a form they say nothing."""


class FormSigner:
    """Finds out who signed a form."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def sign(self, call: Call) -> None:
        """Fill in the principal; raises the AwsError of a form that cannot be read or whose signature does not hold."""
        request = call.request
        if request.body.length is None:
            raise AwsError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
        form = await read_form_head(request.body, request.headers.get("content-type", ""))
        call.stash[FORM] = form
        signed = read_form(form.fields)
        if signed is None:
            call.principal = ANONYMOUS
            call.account_id = ANONYMOUS.account_id
            return
        unit = Unit(self._house, call.started_at)
        credentials = find_credentials(unit, signed.access_key_id, signed.session_token, s3=True)
        verify_form(form.fields, signed, credentials.secret, now=call.started_at)
        call.principal = credentials.principal
        call.account_id = credentials.principal.account_id
        call.signature_version, call.authentication_method = signed.version, signed.method


def read_posted(call: Call, form: Form, bucket: str) -> None:
    """Fill in `call.input` and `call.body`. Raises the AwsError of a form that breaks its policy or S3's rules."""
    fields = form.fields
    call.input = {"Bucket": bucket, "Fields": fields}
    key = fields.get("key")
    if key:
        call.input["Key"] = key
    if "policy" in fields:
        form.file.allowed = check_policy(fields, bucket, now=call.started_at)
    _check_key(key)
    request = call.request = _as_put(call.request, fields)
    put = call.operation.service.operations["PutObject"]
    labels = {"Bucket": bucket, "Key": key or ""}
    call.input = {**parse_input(put, "rest-xml", labels, request, None), "Fields": fields}
    if fields.get("tagging"):
        call.input["Tagging"] = _tagging(fields["tagging"])
    call.body = _file_body(form, request)


def _check_key(key: str | None) -> None:
    if key is None:
        hint = "If it is specified, please check the order of the fields."
        message = f"Bucket POST must contain a field named 'key'.  {hint}"
        raise AwsError("InvalidArgument", message, 400, ArgumentName="key", ArgumentValue="")
    if not key:
        message = "User key must have a length greater than 0."
        raise AwsError("InvalidArgument", message, 400, ArgumentName="key", ArgumentValue="")
    if "\0" in key:
        raise AwsError("InvalidURI", status=400)
    size = len(key.encode())
    if size > KEY_BYTES_MAX:
        raise AwsError("KeyTooLongError", status=400, Size=str(size), MaxSizeAllowed=str(KEY_BYTES_MAX))


def _as_put(request: HttpRequest, fields: dict[str, str]) -> HttpRequest:
    """The request as if its fields had been sent as headers."""
    headers = {name: value for name, value in request.headers.items() if not _means_object(name)}
    for name, value in fields.items():
        if name == "acl":
            headers["x-amz-acl"] = encode_text(value)
        elif _means_object(name) and name not in _SIGNATURE and name not in _OF_THE_REQUEST:
            headers[name] = encode_text(value)
    return replace(request, headers=headers)


def _means_object(name: str) -> bool:
    return name in _PLAIN or name.startswith("x-amz-") or name in ("if-match", "if-none-match", "content-md5")


def _tagging(text: str) -> str:
    """The tags of the field, which is an XML document, as the header of a PutObject would give them."""
    try:
        root = parse_xml(text.encode())
    except Malformed as error:
        raise AwsError("MalformedXML", MALFORMED_XML, 400) from error
    tags = root.child("TagSet") if root.local == "Tagging" else None
    if tags is None:
        raise AwsError("MalformedXML", MALFORMED_XML, 400)
    pairs = []
    for tag in tags.children:
        key, value = tag.child("Key"), tag.child("Value")
        if key is None or value is None:
            raise AwsError("MalformedXML", MALFORMED_XML, 400)
        pairs.append((key.text, value.text))
    return urlencode(pairs)


def _file_body(form: Form, request: HttpRequest) -> DecodedBody:
    body = DecodedBody(form.file)
    body.want_md5()
    if "content-md5" in request.headers:
        body.promise_md5(request.headers["content-md5"])
    brings = any(name.startswith(PREFIX) for name in request.headers)
    body.promise_checksum(expected_checksums(request.headers), () if brings else (DEFAULT_CHECKSUM,))
    return body
