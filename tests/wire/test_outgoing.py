"""What we sign, botocore signs alike."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from opentrail.wire.outgoing import Key, signed_headers
from opentrail.wire.request import WireRequest
from opentrail.wire.sigv4 import format_time

NOW = 1_790_000_000.0
KEY = Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


class Given(S3SigV4Auth):
    """Signs the headers that are there."""

    def _modify_request_before_signing(self, request: Any) -> None:
        return


@pytest.mark.parametrize("token", ["", "IQoJb3JpZ2luX2VjEXAMPLE"])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("path", "query"), [("/b/k", ""), ("/b/a%20b/%C3%A9", "versionId=x%2Fy&tagging="), ("/b/a//../b", "tagging")]
)
def test_botocore_signs_alike(path: str, query: str, streamed: bool, token: str):
    made = WireRequest("PUT", path, query, {"content-type": "text/plain", "x-amz-meta-a": "b  c"}, b"body")
    headers = signed_headers(
        made, "store.example:9000", "eu-west-1", KEY._replace(session_token=token), NOW, streamed=streamed
    )
    proof = headers.pop("authorization")
    url = f"http://store.example:9000{path}" + (f"?{query}" if query else "")
    request = AWSRequest("PUT", url, headers=headers, data=b"body")
    request.context["timestamp"] = format_time(NOW)
    signer = Given(Credentials(*KEY[:2]), "s3", "eu-west-1")
    canonical = signer.canonical_request(request)
    assert proof.rpartition("=")[2] == signer.signature(signer.string_to_sign(request, canonical), request)
    assert f"Credential={KEY[0]}/{format_time(NOW)[:8]}/eu-west-1/s3/aws4_request" in proof
