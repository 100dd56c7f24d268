"""PostObject: a browser's upload. Once its form is read it is a PutObject with another answer.

The gate has put the form's fields where PutObject has them; the file's length is not known before its end. Source: S3 API
reference, "POST Object"; S3's answers.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from opentrail.call import Call, Shape
from opentrail.rows.s3 import INLINE_BYTES_MAX, Bucket, ObjectVersion
from opentrail.service import Service
from opentrail.services.s3.objects import bucket_of, new_object, store, written
from opentrail.services.s3.payload import OBJECT_BYTES_MAX, Payload, store_payload, taken_before
from opentrail.state import Unit
from opentrail.wire.multipart_form import Form
from opentrail.wire.payload import DecodedBody
from opentrail.wire.post_policy import LengthRange
from opentrail.wire.xml_codec import XML_DECLARATION, escape

STATUSES = {"200": 200, "201": 201, "204": 204}
"""What a form may wish as success_action_status; anything else is 204."""
SEE_OTHER = 303
URL_SAFE = "%/:=&?~#+!$,;'@()*[]"

family = Service("s3")


@family.operation("PostObject")
async def post_object(call: Call, unit: Unit) -> Shape:
    """Store an object that a browser sends as a form."""
    template = new_object(call, unit, bucket_of(call, unit))
    payload = await _take_file(call, unit)
    bucket, version = store(call, unit, template, payload)
    return _answer(call, bucket, version, written(call, unit, bucket, version))


async def _take_file(call: Call, unit: Unit) -> Payload:
    """Read and keep the file, once for a call; raises EntityTooSmall, EntityTooLarge, or what is wrong with the form."""
    taken = taken_before(call, call.stash.get("payload"))
    if taken is not None:
        return taken
    form, body = call.stash["form"], call.body
    assert isinstance(form, Form)
    assert isinstance(body, DecodedBody)
    file = form.file
    file.allowed = LengthRange(file.allowed.least, min(file.allowed.most, OBJECT_BYTES_MAX))
    small = await file.is_within(INLINE_BYTES_MAX)
    return await store_payload(call, unit, body, INLINE_BYTES_MAX, small=small)


def _answer(call: Call, bucket: Bucket, version: ObjectVersion, output: Shape) -> Shape:
    """A redirect, or the status that the form wishes; only 201 has a document."""
    fields: dict[str, str] = call.input["Fields"]
    etag = f'"{version.etag}"'
    redirect = _redirect(fields.get("success_action_redirect") or fields.get("redirect") or "", bucket, version)
    if redirect:
        call.status = SEE_OTHER
        return {**output, "Location": redirect}
    call.status = STATUSES.get(fields.get("success_action_status", ""), 204)
    output["Location"] = location = _location(call, version.key)
    if call.status == 201:
        told = {"Location": location, "Bucket": bucket.name, "Key": version.key, "ETag": etag}
        members = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in told.items())
        output["Body"] = f"{XML_DECLARATION}<PostResponse>{members}</PostResponse>".encode()
        output["ContentType"] = "application/xml"
    return output


def _location(call: Call, key: str) -> str:
    request = call.request
    scheme = "https" if request.tls is not None else "http"
    return f"{scheme}://{request.headers.get('host', '')}{request.path.rstrip('/')}/{quote(key, safe='')}"


def _redirect(url: str, bucket: Bucket, version: ObjectVersion) -> str:
    """The URL with what was stored added to its query; empty for a URL that a browser could not be sent to."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return ""
    told = f"bucket={quote(bucket.name, safe='')}&key={quote(version.key, safe='')}&etag=%22{version.etag}%22"
    query = f"{parts.query}&{told}" if parts.query else told
    return quote(parts._replace(query=query).geturl(), safe=URL_SAFE)
