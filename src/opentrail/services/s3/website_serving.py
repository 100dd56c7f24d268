"""Serving a bucket as a website: index and error documents, redirects, pages for people instead of XML.

Everybody is anonymous here, and needs the permission that an anonymous GetObject needs. Recorded as GetObject and
HeadObject of the key that was served, or asked for where none was. Source: S3 user guide, "Website endpoints",
"Configuring an index document", "Configuring a custom error document", "Configuring a redirect"; S3's answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket
from opentrail.service import Service
from opentrail.services.s3.documents import document_text
from opentrail.services.s3.guard import enter_bucket, question
from opentrail.services.s3.objects import get_object, head_object
from opentrail.services.s3.versions import current_version
from opentrail.services.s3.website import KIND, Redirect, RoutingRule, Site, no_website, read_site
from opentrail.state import Unit
from opentrail.wire.web_page import HTML_TYPE, error_page

ERROR_DOCUMENT_BYTES_MAX = 8 * 1024 * 1024
"""A larger error document is not shown."""
ASKED = "asked"
"""Where the key of the request is kept in the call's stash, since the input tells the key that is served."""
REDIRECT_LOCATION = "x-amz-website-redirect-location"
NOT_MODIFIED = 304
KEY_SAFE = "/!$&'()*+,;=:@~"

family = Service("s3")


@family.guard("GetWebsiteObject", "HeadWebsiteObject")
def website_guard(_call: Call, _unit: Unit) -> Sequence[Access]:
    """Asked while serving: which object is read is not known before."""
    return ()


@family.operation("GetWebsiteObject")
@family.operation("HeadWebsiteObject")
async def get_website_object(call: Call, unit: Unit) -> Shape:
    """Serve a page of a bucket's website."""
    asked = str(call.stash.setdefault(ASKED, call.input.get("Key") or ""))
    try:
        bucket = enter_bucket(call, unit, call.input["Bucket"])
        text = document_text(unit, bucket, KIND)
        if not text:
            raise no_website(bucket.name)
    except AwsError as error:
        error.page = b""
        raise
    site = read_site(text)
    if site.all_to is not None:
        return _moved(call, site.all_to.status, _target(call, site.all_to, asked))
    rule = site.rule_for(asked)
    if rule is not None:
        return _redirected(call, rule, asked)
    try:
        return await _serve(call, unit, bucket, site, asked)
    except AwsError as error:
        return await _failed(call, unit, bucket, site, error)


async def _serve(call: Call, unit: Unit, bucket: Bucket, site: Site, asked: str) -> Shape:
    """The object that is meant, or where it says to go."""
    folder = not asked or asked.endswith("/")
    key = call.input["Key"] = asked + site.suffix if folder else asked
    _check_access(call, unit, bucket, key)
    version = current_version(unit, bucket, key)
    if version is not None and not version.delete_marker:
        location = version.headers.get(REDIRECT_LOCATION)
        if location:
            return _moved(call, 301, location)
    elif not folder and _is_folder(call, unit, bucket, f"{asked}/{site.suffix}"):
        return _moved(call, 302, f"/{quote(asked, safe=KEY_SAFE)}/")
    read = get_object if call.request.method == "GET" else head_object
    return await read(call, unit)


def _check_access(call: Call, unit: Unit, bucket: Bucket, key: str) -> None:
    if not call.may(question(call, unit, bucket, "s3:GetObject", key)):
        raise AwsError("AccessDenied", "Access Denied", 403)


def _is_folder(call: Call, unit: Unit, bucket: Bucket, index: str) -> bool:
    version = current_version(unit, bucket, index)
    there = version is not None and not version.delete_marker
    return there and call.may(question(call, unit, bucket, "s3:GetObject", index))


def _moved(call: Call, status: int, location: str) -> Shape:
    call.status = status
    return {"Location": location}


def _redirected(call: Call, rule: RoutingRule, asked: str) -> Shape:
    redirect = rule.redirect
    key = asked
    if redirect.key is not None:
        key = redirect.key
    elif redirect.key_prefix is not None:
        key = redirect.key_prefix + asked[len(rule.prefix) :]
    return _moved(call, redirect.status, _target(call, redirect, key))


def _target(call: Call, redirect: Redirect, key: str) -> str:
    request = call.request
    protocol = redirect.protocol or ("https" if request.tls is not None else "http")
    host = redirect.host or request.headers.get("host", "")
    query = f"?{request.query}" if request.query else ""
    return f"{protocol}://{host}/{quote(key, safe=KEY_SAFE)}{query}"


async def _failed(call: Call, unit: Unit, bucket: Bucket, site: Site, error: AwsError) -> Shape:
    """A rule for this error sends the browser elsewhere; else it gets the website's error document, or ours."""
    if error.status == NOT_MODIFIED:
        raise error
    asked: str = call.stash[ASKED]
    rule = site.rule_for(asked, str(error.status))
    if rule is not None:
        return _redirected(call, rule, asked)
    error.page = b""
    if site.error_key and 400 <= error.status < 500:
        await _show_document(call, unit, bucket, site.error_key, error)
    raise error


async def _show_document(call: Call, unit: Unit, bucket: Bucket, key: str, error: AwsError) -> None:
    """Make the error document the page of an error; if that cannot be read, a page that tells both errors."""
    given, call.input = call.input, {"Bucket": bucket.name, "Key": key}
    try:
        _check_access(call, unit, bucket, key)
        error.page, content_type = await _read_document(call, unit)
        error.headers = {**error.headers, "Content-Type": content_type}
    except AwsError as second:
        first = {"Code": error.code, "Message": error.message, **error.fields}
        details = {"Code": second.code, "Message": second.message, **second.fields}
        error.page = error_page(error.status, first, call.request_id, call.host_id, details)
    finally:
        call.input, call.stream, call.status = given, None, 0
        call.evidence.object_size = None


async def _read_document(call: Call, unit: Unit) -> tuple[bytes, str]:
    """(bytes, Content-Type)."""
    output = await get_object(call, unit)
    content_type = str(output.get("ContentType") or HTML_TYPE)
    stream = call.stream
    if stream is None:
        return output.get("Body") or b"", content_type
    try:
        if stream.length > ERROR_DOCUMENT_BYTES_MAX:
            raise AwsError("EntityTooLarge", "The error document is too large.", 400)
        return b"".join([chunk async for chunk in stream.chunks()]), content_type
    finally:
        await stream.close()
