from __future__ import annotations

import subprocess
import sys

import pytest

from opentrail.model.index import generate
from opentrail.model.load import IN_SCOPE, OTHER_SERVICES_MAX, Models, load_models, merge
from opentrail.model.overlay import DIRECTORY, overlay, table

MODELS = load_models()


def test_one_instance_for_the_process() -> None:
    assert load_models() is MODELS


def test_every_service_of_botocore_is_known_by_name_and_signing_name() -> None:
    assert len(MODELS.names()) > 400
    for name in MODELS.names():
        row = MODELS.summary(name)
        assert name in MODELS.by_signing_name(row["signing_name"])
        if row["target_prefix"]:
            assert name in MODELS.by_target(row["target_prefix"])


def test_unknown_names() -> None:
    with pytest.raises(KeyError):
        MODELS.service("nope")
    with pytest.raises(KeyError):
        MODELS.operation("s3", "Nope")
    assert MODELS.by_signing_name("nope") == ()
    assert MODELS.by_target("nope") == ()
    assert MODELS.by_endpoint_prefix("nope") == ""


def test_names_on_the_wire() -> None:
    assert MODELS.by_signing_name("s3") == ("s3", "s3control")
    assert MODELS.by_signing_name("rds")[0] == "rds"
    assert MODELS.by_target("AWSEvents") == ("events",)
    assert MODELS.by_target("CloudTrail_20131101") == ("cloudtrail",)
    assert MODELS.by_endpoint_prefix("monitoring") == "monitoring"
    assert MODELS.by_query_version("2011-06-15") == ("sts",)


def test_services_in_scope_stay_loaded_and_others_are_let_go() -> None:
    models = Models(table("services"))
    ours = models.service("sts")
    others = [name for name in models.names() if name not in IN_SCOPE][: OTHER_SERVICES_MAX + 1]
    first = models.service(others[0])
    assert models.service(others[0]) is first
    for name in others[1:]:
        models.service(name)
    assert models.service(others[0]) is not first
    assert models.service("sts") is ours


def test_start_up_reads_the_index_only_and_then_our_services_alone() -> None:
    code = (
        "import opentrail.model.load as load\n"
        "models = load.load_models()\n"
        "assert not models._pinned and not models._others\n"
        "models.preload()\n"
        "assert set(models._pinned) == set(load.IN_SCOPE) and not models._others\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_regenerating_the_index_changes_nothing() -> None:
    assert generate() == (DIRECTORY / "services.json").read_bytes()


def test_every_overlay_names_its_source() -> None:
    for path in DIRECTORY.glob("*.json"):
        assert overlay(path.stem)["_source"], path.name
    for corrections in table("corrections").values():
        assert all(correction["source"] for correction in corrections)


def test_merge_lays_objects_over_objects() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": [1], "e": 1}
    merge(base, {"a": {"b": 3}, "d": [2], "e": None, "f": {"g": 1}})
    assert base == {"a": {"b": 3, "c": 2}, "d": [2], "f": {"g": 1}}


def test_shapes_say_what_the_wire_needs() -> None:
    s3 = MODELS.service("s3")
    assert s3.protocols == ("rest-xml",)
    put = s3.operations["PutObject"].input
    assert put is not None
    assert put.payload == "Body"
    assert put.members["Body"].streaming
    assert put.members["Metadata"].location == "headers"
    assert put.members["Metadata"].wire_name == "x-amz-meta-"
    assert put.members["Bucket"].required
    assert s3.operations["DeleteObject"].status == 204
    grantee = s3.operations["GetBucketAcl"].output
    assert grantee is not None
    item = grantee.members["Grants"].shape.item
    assert item is not None
    assert item.wire_name == "Grant"
    kind = item.shape.members["Grantee"]
    assert kind.shape.xml_namespace == ("xsi", "http://www.w3.org/2001/XMLSchema-instance")
    assert kind.shape.members["Type"].xml_attribute
    listed = s3.operations["ListObjectsV2"].output
    assert listed is not None
    assert listed.members["Contents"].flattened
    selected = s3.operations["SelectObjectContent"].output
    assert selected is not None
    assert selected.members["Payload"].shape.eventstream


def test_every_s3_operation_shows_its_bucket_in_the_path() -> None:
    service_level = {"ListBuckets", "ListDirectoryBuckets", "WriteGetObjectResponse"}
    for name, operation in MODELS.service("s3").operations.items():
        assert operation.uri.startswith("/{Bucket}") == (name not in service_level), name


def test_recursive_shapes_and_documents_are_built() -> None:
    costs = MODELS.operation("ce", "GetCostAndUsage").input
    assert costs is not None
    expression = costs.members["Filter"].shape
    both = expression.members["And"].shape.item
    assert both is not None
    assert both.shape is expression
    assert "ShapeModel object" in repr(expression)


def test_protocol_answered_in_when_the_client_is_unknown() -> None:
    assert MODELS.service("codepipeline").protocol == "json"
    assert MODELS.service("cloudwatch").protocol == "json"
    assert MODELS.service("iam").protocol == "query"
    assert MODELS.service("s3").protocol == "rest-xml"


def test_errors_by_wire_code_and_by_shape_name() -> None:
    cloudwatch = MODELS.service("cloudwatch")
    invalid = cloudwatch.error_codes["InvalidParameterValueException"]
    assert cloudwatch.error_codes["InvalidParameterValue"] is invalid
    assert (invalid.error_code, invalid.query_compatible_code) == (invalid.name, "InvalidParameterValue")
    gone = MODELS.service("sqs").error_codes["AWS.SimpleQueueService.NonExistentQueue"]
    assert (gone.error_code, gone.error_status, gone.error_sender) == ("QueueDoesNotExist", 400, True)
    assert MODELS.service("iam").error_codes["NoSuchEntity"].name == "NoSuchEntityException"


@pytest.mark.parametrize(
    ("service", "code", "status", "message"),
    [
        ("s3", "NoSuchKey", 404, "The specified key does not exist."),
        ("s3", "NoSuchTagSet", 404, "The TagSet does not exist"),
        ("s3control", "AccessDenied", 403, "Access Denied"),
        ("events", "ThrottlingException", 400, "Rate exceeded"),
        ("cloudtrail", "UnknownOperationException", 404, None),
        ("iam", "InvalidClientTokenId", 403, "The security token included in the request is invalid."),
        ("iam", "NoSuchEntity", 404, ""),
        ("cloudtrail", "TrailNotFoundException", 400, ""),
        ("cloudwatch", "InternalServiceFault", 500, ""),
        ("nope", "AccessDenied", 403, "Access Denied"),
    ],
)
def test_standard_errors(service: str, code: str, status: int, message: str | None) -> None:
    found = MODELS.standard_error(service, code)
    assert found is not None
    assert found[0] == status
    assert message is None or found[1] == message


def test_a_code_that_is_nobodys() -> None:
    assert MODELS.standard_error("s3", "Nope") is None
    assert MODELS.standard_error("nope", "Nope") is None


def test_s3_knows_each_error_of_its_model_with_the_models_status() -> None:
    listed = table("s3_errors")
    for code, shape in MODELS.service("s3").error_codes.items():
        assert listed[code][0] == shape.error_status, code
    assert all(300 <= status < 600 and message for status, message in listed.values())
