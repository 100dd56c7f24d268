"""Every operation in scope: what botocore sends, we read; what we send, botocore sends."""

import pytest

from opentrail.wire.bind import parse_input
from opentrail.wire.request import build_request
from tests.wire.oracle import SPOKEN, client_request, labels_of, model_of, request_of
from tests.wire.samples import Nothing, Sampler

FORMS = ("query", "ec2")


def samples(service, protocol, rounds=2):
    for operation in model_of(service, protocol).operations.values():
        if operation.input is None:
            yield operation, {}
            continue
        for number in range(rounds):
            sampler = Sampler(
                (service, operation.name, number), empties=protocol not in FORMS, single_precision="cbor" in protocol
            )
            try:
                value = sampler.structure(operation.input)
            except Nothing:
                value = {}
            yield operation, value


def parse(operation, protocol, wire):
    labels = labels_of(operation, wire.path) if protocol.startswith("rest") else {}
    return parse_input(operation, protocol, labels, request_of(wire), wire.body)


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_parses_what_the_client_sends(service, protocol):
    for operation, value in samples(service, protocol):
        wire = client_request(operation, protocol, value)
        assert parse(operation, protocol, wire) == value, operation.name


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_builds_what_it_parses(service, protocol):
    for operation, value in samples(service, protocol, rounds=1):
        wire = build_request(operation, protocol, value)
        assert parse(operation, protocol, wire) == value, operation.name
