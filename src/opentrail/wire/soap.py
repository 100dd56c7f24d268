"""S3's SOAP interface as text: an envelope becomes the REST request it stands for, a REST answer becomes an envelope.

Seven operations on buckets, those that CloudTrail's pages list. Source: S3 API reference, "Appendix: SOAP API", its schema
(AmazonS3.xsd, 2006-03-01) and "SOAP Error Responses"; SOAP 1.1. Pure: proves nothing and knows no keys.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from opentrail.errors import AwsError
from opentrail.wire.scalars import Malformed
from opentrail.wire.xml_codec import XML_DECLARATION, escape
from opentrail.wire.xml_tree import Element, parse_xml

PATH = "/soap"
TYPES = ("text/xml", "application/soap+xml", "application/xml")
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
NAMESPACES = frozenset({NAMESPACE, NAMESPACE.rstrip("/"), "http://doc.s3.amazonaws.com/2006-03-01"})
"""As clients write it; the guide's examples differ from its schema."""
XSI = "http://www.w3.org/2001/XMLSchema-instance"
BYTES_MAX = 256 * 1024
"""Bytes of an envelope; a hundred grants take some thirty thousand."""
GRANTS_MAX = 100
ANSWER_TYPE = "text/xml;charset=UTF-8"
FAULT_STATUS = 500
_GRANTEES = {
    "CanonicalUser": ("ID", "id"),
    "AmazonCustomerByEmail": ("EmailAddress", "emailAddress"),
    "Group": ("URI", "uri"),
}
"""Kind of a grantee → the element that names it, its name in a header."""
_PERMISSIONS = {
    "FULL_CONTROL": "full-control",
    "READ": "read",
    "WRITE": "write",
    "READ_ACP": "read-acp",
    "WRITE_ACP": "write-acp",
}


class Rest(NamedTuple):
    """How an operation is written in REST; `query` is its sub-resource."""

    method: str
    query: str = ""
    has_bucket: bool = True


OPERATIONS = {
    "ListAllMyBuckets": Rest("GET", has_bucket=False),
    "CreateBucket": Rest("PUT"),
    "DeleteBucket": Rest("DELETE"),
    "GetBucketAccessControlPolicy": Rest("GET", "acl"),
    "SetBucketAccessControlPolicy": Rest("PUT", "acl"),
    "GetBucketLoggingStatus": Rest("GET", "logging"),
    "SetBucketLoggingStatus": Rest("PUT", "logging"),
}


class SoapCall(NamedTuple):
    """What an envelope asks for, and who says to ask. Nothing of it is proven."""

    operation: str
    bucket: str
    asked: Element
    key_id: str
    timestamp: str
    signature: str


def read_envelope(data: bytes) -> SoapCall:
    """Raises AwsError: InvalidSOAPRequest, MissingSecurityElement, NotImplemented (an operation on objects)."""
    try:
        root = parse_xml(data)
    except Malformed as error:
        raise _invalid() from error
    body = root.child("Body") if root.local == "Envelope" and _namespace(root.name, root) == ENVELOPE else None
    if body is None or len(body.children) != 1:
        raise _invalid()
    asked = body.children[0]
    if asked.local not in OPERATIONS:
        raise AwsError("NotImplemented", f"The operation {asked.local[:64]} is not implemented.", 501)
    if _namespace(asked.name, asked, body, root) not in NAMESPACES:
        raise _invalid()
    bucket = _text(asked, "Bucket")
    if OPERATIONS[asked.local].has_bucket and not bucket:
        raise _invalid()
    security = [_text(asked, name) for name in ("AWSAccessKeyId", "Timestamp", "Signature")]
    if any(security) and not all(security):
        raise AwsError("MissingSecurityElement", "", 400)
    return SoapCall(asked.local, bucket, asked, *security)


def _invalid() -> AwsError:
    return AwsError("InvalidSOAPRequest", "", 400)


def _text(element: Element, name: str) -> str:
    child = element.child(name)
    return "" if child is None else child.text.strip()


def _namespace(name: str, *holders: Element) -> str:
    """The namespace of a name, declared at its element or at one around it, the innermost first."""
    prefix, colon, _ = name.rpartition(":")
    attribute = f"xmlns{colon}{prefix}"
    return next((each.attributes[attribute] for each in holders if attribute in each.attributes), "")


def rest_target(call: SoapCall) -> tuple[str, str, str]:
    """(method, path, query) of the REST request."""
    rest = OPERATIONS[call.operation]
    return rest.method, f"/{quote(call.bucket, safe='')}" if rest.has_bucket else "/", rest.query


def rest_headers(call: SoapCall) -> dict[str, str]:
    """The headers that say which list a new bucket is to have. Raises AwsError InvalidSOAPRequest."""
    if call.operation != "CreateBucket":
        return {}
    canned, acl = _text(call.asked, "Acl"), call.asked.child("AccessControlList")
    if canned:
        return {"x-amz-acl": canned}
    headers: dict[str, list[str]] = {}
    for grantee, kind, permission in _grants(acl) if acl is not None else ():
        headers.setdefault(f"x-amz-grant-{_PERMISSIONS[permission]}", []).append(f'{_GRANTEES[kind][1]}="{grantee}"')
    return {name: ", ".join(values) for name, values in headers.items()}


def _grants(acl: Element) -> list[tuple[str, str, str]]:
    """(who, kind of grantee, permission) of each grant."""
    if len(acl.children) > GRANTS_MAX:
        raise _invalid()
    found = []
    for grant in acl.children:
        grantee, permission = grant.child("Grantee"), _text(grant, "Permission")
        kind = "" if grantee is None else _kind(grantee)
        who = _text(grantee, _GRANTEES[kind][0]) if grantee is not None and kind in _GRANTEES else ""
        if grant.local != "Grant" or permission not in _PERMISSIONS or not who or not who.isascii() or '"' in who:
            raise _invalid()
        found.append((who, kind, permission))
    return found


def _kind(grantee: Element) -> str:
    """The last part of the grantee's xsi:type."""
    given = next((value for name, value in grantee.attributes.items() if name.rpartition(":")[2] == "type"), "")
    return given.rpartition(":")[2]


def rest_body(call: SoapCall, owner_id: str) -> bytes:
    """The document of the REST request; `owner_id` is the canonical id of the bucket's owner, whom SOAP does not name."""
    if call.operation == "SetBucketAccessControlPolicy":
        acl = call.asked.child("AccessControlList")
        if acl is None:
            raise _invalid()
        grants = "".join(_grant_text(*grant) for grant in _grants(acl))
        owner = f"<Owner><ID>{escape(owner_id)}</ID></Owner>"
        document = f"{owner}<AccessControlList>{grants}</AccessControlList>"
        return f'<AccessControlPolicy xmlns="{NAMESPACE}">{document}</AccessControlPolicy>'.encode()
    if call.operation == "SetBucketLoggingStatus":
        status = call.asked.child("BucketLoggingStatus")
        if status is None:
            raise _invalid()
        inner = "".join(_copied(child) for child in status.children)
        return f'<BucketLoggingStatus xmlns="{NAMESPACE}">{inner}</BucketLoggingStatus>'.encode()
    return b""


def _grant_text(who: str, kind: str, permission: str) -> str:
    element = _GRANTEES[kind][0]
    grantee = f'<Grantee xmlns:xsi="{XSI}" xsi:type="{kind}"><{element}>{escape(who)}</{element}></Grantee>'
    return f"<Grant>{grantee}<Permission>{permission}</Permission></Grant>"


def _copied(element: Element) -> str:
    """An element without prefixes; of its attributes only the kind of a grantee."""
    kind = f' xmlns:xsi="{XSI}" xsi:type="{escape(_kind(element))}"' if element.local == "Grantee" else ""
    inner = "".join(_copied(child) for child in element.children) or escape(element.text)
    return f"<{element.local}{kind}>{inner}</{element.local}>"


# Answers


def _in_envelope(body: str) -> bytes:
    opening = f'<soapenv:Envelope xmlns:soapenv="{ENVELOPE}"><soapenv:Body>'
    return f"{XML_DECLARATION}{opening}{body}</soapenv:Body></soapenv:Envelope>".encode()


def answer(operation: str, bucket: str, document: bytes) -> bytes:
    """The envelope of a success; `document` is the REST answer's."""
    content = ""
    if document:
        root = parse_xml(document)
        content = "".join(_kept(child) for child in root.children)
    inner = {
        "CreateBucket": f"<CreateBucketReturn><BucketName>{escape(bucket)}</BucketName></CreateBucketReturn>",
        "DeleteBucket": "<DeleteBucketResponse><Code>204</Code><Description>No Content</Description>"
        "</DeleteBucketResponse>",
        "SetBucketAccessControlPolicy": "",
        "SetBucketLoggingStatus": "",
    }.get(operation, f"<{operation}Response>{content}</{operation}Response>")
    return _in_envelope(f'<{operation}Response xmlns="{NAMESPACE}">{inner}</{operation}Response>')


def _kept(element: Element) -> str:
    """An element of an answer of ours, attributes and all."""
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in element.attributes.items())
    inner = "".join(_kept(child) for child in element.children) or escape(element.text)
    return f"<{element.name}{attributes}>{inner}</{element.name}>"


def fault(code: str, message: str, status: int, details: dict[str, str]) -> bytes:
    """The envelope of an error. Its code says whose fault it is, and S3's code."""
    whose = "Server" if status >= FAULT_STATUS else "Client"
    detail = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in details.items())
    return _in_envelope(
        f"<soapenv:Fault><faultcode>soapenv:{whose}.{escape(code)}</faultcode>"
        f"<faultstring>{escape(message)}</faultstring><detail>{detail}</detail></soapenv:Fault>"
    )
