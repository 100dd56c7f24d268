"""VPC endpoints: what the file and the settings may say, and whom a header is believed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from opentrail.server.endpoints import BadEndpoints, UnknownEndpoint, read_endpoints
from opentrail.settings import Settings

POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}],
}


def read(tmp_path: Path, text: str, name: str = "endpoints.toml", **settings: str):
    (tmp_path / name).write_text(text)
    return read_endpoints(replace(Settings(), vpc_endpoints=str(tmp_path / name), **settings))


def test_without_settings_there_are_none():
    found = read_endpoints(Settings())
    assert not found.trusts("127.0.0.1")
    assert found.listeners == ()


def test_a_file_tells_owners_policies_and_listeners(tmp_path):
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    found = read(
        tmp_path,
        """
        [[endpoint]]
        id = "vpce-1"
        account = "111122223333"
        vpc = "vpc-9"
        policy_file = "policy.json"
        listen = "[::1]:4581"
        [[endpoint]]
        id = "vpce-2"
        account = "444455556666"
        """,
    )
    [(host, port, endpoint)] = found.listeners
    assert (host, port) == ("::1", 4581)
    assert (endpoint.id, endpoint.account_id, endpoint.vpc_id) == ("vpce-1", "111122223333", "vpc-9")
    assert json.loads(endpoint.policy) == POLICY
    assert found.named["vpce-2"].policy == ""


def test_the_file_may_be_json(tmp_path):
    entry = {"id": "vpce-1", "account": "111122223333", "policy": POLICY}
    found = read(tmp_path, json.dumps({"endpoint": [entry]}), "endpoints.json")
    assert json.loads(found.named["vpce-1"].policy) == POLICY


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("11.1.2.3", False), ("fe80::1%eth0", False), ("nobody", False)],
)
def test_a_header_is_believed_from_some_peers_only(peer, trusted):
    found = read_endpoints(replace(Settings(), vpc_endpoint_header="X-Vpce", vpc_endpoint_peers="10.0.0.0/8"))
    assert found.trusts(peer) is trusted


def test_a_header_names_an_endpoint_that_there_is(tmp_path):
    header = {"vpc_endpoint_header": "X-Vpce", "vpc_endpoint_peers": "10.0.0.0/8"}
    open_to_any = read_endpoints(replace(Settings(), **header))
    endpoint = open_to_any.of({"x-vpce": "vpce-7"})
    assert endpoint is not None
    assert (endpoint.id, endpoint.account_id) == ("vpce-7", "")
    assert open_to_any.of({}) is None
    with pytest.raises(UnknownEndpoint):
        open_to_any.of({"x-vpce": 'vpce-"}'})
    closed = read(tmp_path, '[[endpoint]]\nid = "vpce-1"\naccount = "111122223333"', **header)
    assert closed.of({"x-vpce": "vpce-1"}) is closed.named["vpce-1"]
    with pytest.raises(UnknownEndpoint):
        closed.of({"x-vpce": "vpce-7"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "must hold a list"),
        ("endpoint = 1", "must hold a list"),
        ("[[endpoint]]\nid = 'vpce-1'\naccount = '1'", "twelve digits"),
        ("[[endpoint]]\nid = 'vpc-1'\naccount = '111122223333'", "no id of a VPC endpoint"),
        ("[[endpoint]]\nid = 'vpce-1'\naccount = '111122223333'\nvpc = 'x'", "the vpc of"),
        ("[[endpoint]]\nid = 'vpce-1'\naccount = '111122223333'\nlisten = '4581'", "an address and a port"),
        ("[[endpoint]]\nid = 'vpce-1'\naccount = '111122223333'\npolicy = '{}'", "is none"),
        ("[[endpoint]]\nid = 'vpce-1'\naccount = '111122223333'\npolicy_file = 'gone'", "cannot read the policy"),
        ("[[endpoint]]\nid = 'vpce-1'\naccount = '111122223333'\ncolour = 'x'", "nothing else"),
        ("[[endpoint]]\nid = 'vpce-1'\naccount = '111122223333'\n" * 2, "twice"),
        ("[", "is not TOML"),
    ],
)
def test_files_that_say_nothing_sensible(tmp_path, text, message):
    with pytest.raises(BadEndpoints, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "given",
    [
        {"vpc_endpoint_header": "X-Vpce"},
        {"vpc_endpoint_peers": "10.0.0.0/8"},
        {"vpc_endpoint_header": "no header", "vpc_endpoint_peers": "10.0.0.0/8"},
        {"vpc_endpoint_header": "X-Vpce", "vpc_endpoint_peers": "ten"},
        {"vpc_endpoints": "/nowhere/endpoints.toml"},
    ],
)
def test_settings_that_say_nothing_sensible(given):
    with pytest.raises(BadEndpoints):
        read_endpoints(replace(Settings(), **given))
