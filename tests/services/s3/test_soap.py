"""The SOAP interface: seven operations that are REST's under other names, behind a door of their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opentrail.call import HttpRequest, Tls
from opentrail.errors import LedgerUnavailable
from opentrail.rows.s3 import BUCKETS
from opentrail.server.road import InternalBody
from opentrail.services.accounts import create_key
from opentrail.wire.soap import BYTES_MAX
from tests.fakes.house import commit, new_unit
from tests.services.s3.bucket_world import BUCKET, HOME, OTHER, World, allow, make_world
from tests.services.s3.soap_client import S3, answer, envelope, fault, security

TLS = Tls("TLSv1.3", "TLS_AES_128_GCM_SHA256")


class Soap:
    """A world with a client that has the root keys of its accounts."""

    def __init__(self, world: World, keys: dict[str, tuple[str, str]]) -> None:
        self.world, self.keys = world, keys

    async def send(self, data: bytes, tls: Tls | None = TLS, **headers: str) -> tuple[int, bytes]:
        given = {"host": "s3.amazonaws.com", "content-type": "text/xml; charset=utf-8", "soapaction": '""', **headers}
        given["content-length"] = str(len(data))
        request = HttpRequest("POST", "/soap", "", given, InternalBody(data), "192.0.2.1", tls)
        response = await self.world.gate.handle(request)
        assert isinstance(response.body, bytes)
        return response.status, response.body

    async def ask(self, operation: str, content: str = "", who: str = HOME, **more: Any) -> tuple[int, bytes]:
        proof = security(operation, *self.keys[who], **more) if who else ""
        return await self.send(envelope(operation, content + proof))


async def make_soap(*, open_bucket: bool = False) -> Soap:
    world = await make_world(open_bucket=open_bucket)
    unit = new_unit(world.house)
    keys = {account: create_key(unit, account) for account in (HOME, OTHER)}
    await commit(unit)
    return Soap(world, keys)


def bucket(name: str = BUCKET) -> str:
    return f"<Bucket>{name}</Bucket>"


async def test_buckets_are_made_listed_and_deleted():
    soap = await make_soap()
    status, data = await soap.ask("CreateBucket", bucket("quotes"))
    assert status == 200
    assert answer(data, "CreateBucket").findtext(f"{{{S3}}}CreateBucketReturn/{{{S3}}}BucketName") == "quotes"
    status, data = await soap.ask("ListAllMyBuckets")
    listed = answer(data, "ListAllMyBuckets").find(f"{{{S3}}}ListAllMyBucketsResponse")
    assert [each.text for each in listed.iter(f"{{{S3}}}Name")] == [BUCKET, "quotes"]
    assert listed.find(f"{{{S3}}}Owner/{{{S3}}}ID") is not None
    status, data = await soap.ask("DeleteBucket", bucket("quotes"))
    assert (status, answer(data, "DeleteBucket").findtext(f"{{{S3}}}DeleteBucketResponse/{{{S3}}}Code")) == (200, "204")
    assert BUCKETS.get(new_unit(soap.world.house), "quotes") is None
    names = [record["eventName"] for record in soap.world.records()[-3:]]
    assert names == ["CreateBucket", "ListBuckets", "DeleteBucket"]


async def test_the_record_is_that_of_the_rest_operation_with_the_envelopes_bytes():
    soap = await make_soap()
    data = envelope("CreateBucket", bucket("quotes") + security("CreateBucket", *soap.keys[HOME]))
    _, body = await soap.send(data, **{"user-agent": "soap-client/1"})
    record = soap.world.records()[-1]
    assert record["userIdentity"]["type"] == "Root"
    assert record["userIdentity"]["accessKeyId"] == soap.keys[HOME][0]
    assert record["requestParameters"] == {"bucketName": "quotes", "Host": "s3.amazonaws.com"}
    assert (record["userAgent"], record["readOnly"]) == ("[soap-client/1]", False)
    more = record["additionalEventData"]
    assert (more["SignatureVersion"], more["bytesTransferredIn"], more["bytesTransferredOut"]) == (
        "SigV2",
        len(data),
        len(body),
    )
    assert record["tlsDetails"]["tlsVersion"] == "TLSv1.3"


GRANT = (
    '<AccessControlList><Grant><Grantee xsi:type="Group"><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>'
    "</Grantee><Permission>READ</Permission></Grant></AccessControlList>"
)


async def test_lists_are_set_and_read():
    soap = await make_soap(open_bucket=True)
    status, data = await soap.ask("SetBucketAccessControlPolicy", bucket() + GRANT)
    assert (status, len(answer(data, "SetBucketAccessControlPolicy"))) == (200, 0)
    assert (await soap.world.get_bucket_acl(Bucket=BUCKET)).parsed["Grants"][0]["Permission"] == "READ"
    _, data = await soap.ask("GetBucketAccessControlPolicy", bucket())
    read = answer(data, "GetBucketAccessControlPolicy").find(f"{{{S3}}}GetBucketAccessControlPolicyResponse")
    grantee = read.find(f"{{{S3}}}AccessControlList/{{{S3}}}Grant/{{{S3}}}Grantee")
    assert grantee.attrib["{http://www.w3.org/2001/XMLSchema-instance}type"] == "Group"
    put, get = soap.world.records()[-3], soap.world.records()[-1]
    assert (put["eventName"], get["eventName"]) == ("PutBucketAcl", "GetBucketAcl")
    assert put["requestParameters"]["AccessControlPolicy"]["AccessControlList"]["Grant"]["Permission"] == "READ"


async def test_a_new_bucket_may_bring_its_list():
    soap = await make_soap()
    assert (await soap.ask("CreateBucket", bucket("plain") + "<Acl>private</Acl>"))[0] == 200
    status, data = await soap.ask("CreateBucket", bucket("public") + GRANT)
    assert (status, fault(data)[0]) == (500, "soapenv:Client.InvalidBucketAclWithObjectOwnership")
    canonical = (await soap.world.get_bucket_acl(Bucket=BUCKET)).parsed["Owner"]["ID"]
    own = (
        f'<AccessControlList><Grant><Grantee xsi:type="CanonicalUser"><ID>{canonical}</ID></Grantee>'
        "<Permission>FULL_CONTROL</Permission></Grant></AccessControlList>"
    )
    assert (await soap.ask("CreateBucket", bucket("own") + own))[0] == 200


async def test_logging_is_set_and_read():
    soap = await make_soap()
    await soap.world.create_bucket(Bucket="the-logs")
    inner = "<LoggingEnabled><TargetBucket>the-logs</TargetBucket><TargetPrefix>x/</TargetPrefix></LoggingEnabled>"
    status, data = await soap.ask(
        "SetBucketLoggingStatus", bucket() + f"<BucketLoggingStatus>{inner}</BucketLoggingStatus>"
    )
    assert (status, len(answer(data, "SetBucketLoggingStatus"))) == (200, 0)
    assert (await soap.world.get_bucket_logging(Bucket=BUCKET)).parsed["LoggingEnabled"]["TargetBucket"] == "the-logs"
    _, data = await soap.ask("GetBucketLoggingStatus", bucket())
    read = answer(data, "GetBucketLoggingStatus").find(f"{{{S3}}}GetBucketLoggingStatusResponse")
    assert read.findtext(f"{{{S3}}}LoggingEnabled/{{{S3}}}TargetPrefix") == "x/"
    names = [record["eventName"] for record in soap.world.records()]
    assert ("PutBucketLogging" in names, names[-1]) == (True, "GetBucketLogging")


async def test_errors_are_faults():
    soap = await make_soap()
    status, data = await soap.ask("DeleteBucket", bucket("nowhere"))
    assert (status, fault(data)) == (500, ("soapenv:Client.NoSuchBucket", "The specified bucket does not exist"))
    assert b"<BucketName>nowhere</BucketName>" in data
    assert soap.world.records()[-1]["errorCode"] == "NoSuchBucket"
    status, data = await soap.ask("DeleteBucket", bucket(), who=OTHER)
    assert fault(data)[0] == "soapenv:Client.AccessDenied"
    assert fault((await soap.ask("CreateBucket", bucket("No_Name")))[1])[0] == "soapenv:Client.InvalidBucketName"
    assert fault((await soap.ask("CreateBucket", bucket("a/b")))[1])[0] == "soapenv:Client.InvalidBucketName"


async def test_whoever_does_not_say_who_he_is_is_anonymous():
    soap = await make_soap(open_bucket=True)
    assert fault((await soap.ask("GetBucketAccessControlPolicy", bucket(), who=""))[1])[0].endswith("AccessDenied")
    assert soap.world.records()[-1]["userIdentity"]["accountId"] == "anonymous"


@pytest.mark.parametrize(
    ("proof", "code"),
    [
        (lambda keys: security("DeleteBucket", *keys), "SignatureDoesNotMatch"),
        (lambda keys: security("ListAllMyBuckets", keys[0], "guessed"), "SignatureDoesNotMatch"),
        (lambda keys: security("ListAllMyBuckets", "AKIAUNKNOWN", keys[1]), "InvalidAccessKeyId"),
        (
            lambda keys: security("ListAllMyBuckets", *keys, at=datetime.now(UTC) - timedelta(minutes=16)),
            "RequestTimeTooSkewed",
        ),
        (lambda keys: f"<AWSAccessKeyId>{keys[0]}</AWSAccessKeyId>", "MissingSecurityElement"),
        (
            lambda keys: (
                f"<AWSAccessKeyId>{keys[0]}</AWSAccessKeyId><Timestamp>now</Timestamp><Signature>x</Signature>"
            ),
            "AccessDenied",
        ),
    ],
)
async def test_signatures_that_do_not_hold_are_answered_and_not_recorded(proof: Any, code: str):
    soap = await make_soap()
    before = len(soap.world.records())
    status, data = await soap.send(envelope("ListAllMyBuckets", proof(soap.keys[HOME])))
    assert (status, fault(data)[0]) == (500, f"soapenv:Client.{code}")
    assert len(soap.world.records()) == before


async def test_nothing_in_the_clear():
    soap = await make_soap()
    data = envelope("ListAllMyBuckets", security("ListAllMyBuckets", *soap.keys[HOME]))
    status, body = await soap.send(data, tls=None)
    told = "SOAP requests must be made over an HTTPS connection."
    assert (status, fault(body)) == (500, ("soapenv:Client.InvalidRequest", told))


DEEP = b"<a>" * 200 + b"</a>" * 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not xml",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + envelope("ListAllMyBuckets").partition(b"?>")[2],
        envelope("ListAllMyBuckets").replace(b"soap/envelope", b"soap/other"),
        envelope("ListAllMyBuckets", namespace="urn:other"),
        envelope("ListAllMyBuckets").replace(b"s:Body", b"s:Head"),
        envelope("CreateBucket"),
        envelope("SetBucketAccessControlPolicy", bucket()),
        envelope("SetBucketLoggingStatus", bucket()),
        envelope("SetBucketAccessControlPolicy", bucket() + GRANT.replace("READ", "EVERYTHING")),
        envelope("SetBucketAccessControlPolicy", bucket() + GRANT.replace('xsi:type="Group"', "")),
        envelope("CreateBucket", bucket("x-y-z") + GRANT.replace("AllUsers", 'All&quot;, id="x')),
        envelope("CreateBucket", bucket("x-y-z") + f"<AccessControlList>{'<Grant/>' * 101}</AccessControlList>"),
        envelope("ListAllMyBuckets", DEEP.decode()),
        b"<a/>".join([b"<x>", b"</x>"]),
    ],
)
async def test_hostile_envelopes_are_refused(data: bytes):
    soap = await make_soap()
    before = len(soap.world.records())
    status, body = await soap.send(data)
    assert (status, fault(body)[0]) == (500, "soapenv:Client.InvalidSOAPRequest")
    assert len(soap.world.records()) == before


async def test_too_large_an_envelope_is_refused_before_it_is_read():
    soap = await make_soap()

    class Endless(InternalBody):
        async def read_all(self, limit: int) -> bytes:
            assert limit == BYTES_MAX
            return await super().read_all(limit)

    request = HttpRequest("POST", "/soap", "", {"content-type": "text/xml"}, Endless(b""), "192.0.2.1", TLS)
    assert (await soap.world.gate.handle(request)).status == 500


async def test_operations_on_objects_are_not_built():
    soap = await make_soap()
    status, body = await soap.ask("GetObject", bucket() + "<Key>k</Key>")
    assert (status, fault(body)[0]) == (500, "soapenv:Server.NotImplemented")


async def test_a_bucket_called_soap_still_takes_forms():
    soap = await make_soap()
    await soap.world.create_bucket(Bucket="soap")
    _, body = await soap.send(b"", **{"content-type": "multipart/form-data; boundary=x"})
    assert b"Fault" not in body


async def test_a_ledger_that_fails_is_the_servers_fault(monkeypatch: pytest.MonkeyPatch):
    soap = await make_soap()

    async def broken(*_args: Any) -> Any:
        raise LedgerUnavailable("full")

    monkeypatch.setattr(soap.world.house.ledger, "commit", broken)
    status, body = await soap.ask("CreateBucket", bucket("quotes"))
    assert (status, fault(body)[0]) == (500, "soapenv:Server.ServiceUnavailable")


async def test_a_user_needs_the_rest_operations_permission():
    soap = await make_soap()
    await soap.world.add_user("lister", allow("s3:ListAllMyBuckets"))
    unit = new_unit(soap.world.house)
    soap.keys["lister"] = create_key(unit, HOME, "lister")
    await commit(unit)
    assert (await soap.ask("ListAllMyBuckets", who="lister"))[0] == 200
    assert fault((await soap.ask("DeleteBucket", bucket(), who="lister"))[1])[0].endswith("AccessDenied")
