"""The global condition keys, for every kind of caller."""

from __future__ import annotations

from dataclasses import replace

from opentrail.access.context import KEYS, OrganizationPlace, RequestContext
from opentrail.call import ANONYMOUS, HttpRequest, Tls
from tests.access.world import HOME, ROLE_ARN, ROOT, SERVICE, USER, USER_ARN, federated, role_session

NOW = 1_790_000_000.9


def context(principal, tls=None, **headers):
    request = HttpRequest("GET", "/", "", headers, None, "192.0.2.7", tls)  # type: ignore[arg-type]
    return RequestContext(principal, request, "eu-central-1", NOW)


def test_of_a_user():
    assert dict(context(USER, **{"user-agent": "aws-cli/2", "referer": "http://a/"})) == {
        "aws:currenttime": ("2026-09-21T14:13:20Z",),
        "aws:epochtime": ("1790000000",),
        "aws:principalaccount": (HOME,),
        "aws:principalarn": (USER_ARN,),
        "aws:principalisawsservice": ("false",),
        "aws:principaltype": ("User",),
        "aws:referer": ("http://a/",),
        "aws:requestedregion": ("eu-central-1",),
        "aws:securetransport": ("false",),
        "aws:sourceip": ("192.0.2.7",),
        "aws:useragent": ("aws-cli/2",),
        "aws:userid": (USER.principal_id,),
        "aws:username": ("alice",),
        "aws:viaawsservice": ("false",),
    }


def test_of_a_session():
    found = context(role_session(), Tls("TLSv1.3", "TLS_AES_128_GCM_SHA256"))
    assert found["aws:principalarn"] == (ROLE_ARN,)
    assert found["aws:userid"] == ("AROAREADERREADERREADER:s1",)
    assert found["aws:multifactorauthpresent"] == ("false",)
    assert found["aws:tokenissuetime"] == ("2026-09-21T14:13:20Z",)
    assert found["aws:securetransport"] == ("true",)
    assert "aws:username" not in found
    assert context(federated())["aws:principaltype"] == ("FederatedUser",)


def test_of_a_session_that_began_with_a_code():
    principal = role_session()
    assert "aws:multifactorauthage" not in context(principal)
    shown = replace(principal, session=replace(principal.session, mfa_authenticated=True, created_at=1_789_999_400))
    assert context(shown)["aws:multifactorauthpresent"] == ("true",)
    assert context(shown)["aws:multifactorauthage"] == ("600",)
    assert "aws:multifactorauthpresent" not in context(USER)


def test_of_root_anonymous_and_a_service():
    assert context(ROOT)["aws:principaltype"] == ("Account",)
    assert context(ANONYMOUS)["aws:userid"] == ("anonymous",)
    assert "aws:principalarn" not in context(ANONYMOUS)
    assert "aws:principalaccount" not in context(ANONYMOUS)
    service = context(SERVICE)
    assert service["aws:principalservicename"] == ("cloudtrail.amazonaws.com",)
    assert service["aws:principalisawsservice"] == ("true",)
    assert service["aws:securetransport"] == ("true",)
    assert "aws:sourceip" not in service


def test_of_an_organization():
    request = HttpRequest("GET", "/", "", {}, None, "192.0.2.7", None)  # type: ignore[arg-type]
    here = OrganizationPlace("o-1", "o-1/r-1/ou-1/", "111111111111")
    places = {HOME: here}.get
    found = RequestContext(USER, request, "eu-central-1", NOW, places)
    assert found["aws:principalorgid"] == ("o-1",)
    assert found["aws:principalorgpaths"] == ("o-1/r-1/ou-1/",)
    assert found["aws:principalorgmasteraccount"] == ("111111111111",)
    assert "aws:sourceorgid" not in found
    service = RequestContext(replace(SERVICE, source_account=HOME), request, "eu-central-1", NOW, places)
    assert service["aws:sourceorgid"] == ("o-1",)
    assert service["aws:sourceorgpaths"] == ("o-1/r-1/ou-1/",)
    assert "aws:principalorgid" not in service
    assert "aws:principalorgid" not in RequestContext(ANONYMOUS, request, "eu-central-1", NOW, places)
    assert "aws:principalorgid" not in context(USER)


def test_keys_are_lower_case():
    assert all(key == key.lower() for key in KEYS)
    assert context(USER).get("aws:UserName") is None
