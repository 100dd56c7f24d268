"""AWS's rules about one action of a declaration: its type, configuration keys, artifact counts and region.

Source: the CodePipeline user guide's action structure references. Knows nothing of the rest of the pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentrail.errors import AwsError
from opentrail.pipeline.catalogue import ActionType, find_action_type

_BOOLEANS = {"PollForSourceChanges", "AllowOverrideForS3ObjectKey", "Extract", "DetectChanges", "BatchEnabled"}
CANNED_ACLS = frozenset(
    [
        "private",
        "public-read",
        "public-read-write",
        "authenticated-read",
        "aws-exec-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
    ]
)


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidActionDeclarationException", message, 400)


def check_action(stage: str, action: Mapping[str, Any], region: str) -> None:
    """Raise InvalidActionDeclarationException if the action of `stage` is not one that could run in `region`."""
    kind = _type_of(action, region)
    _check_configuration(action, kind)
    _check_count(action, "input", kind.inputs)
    _check_count(action, "output", kind.outputs)
    _check_region(action, region)
    if kind.provider == "Commands" and not action.get("commands"):
        raise _invalid(f"Action '{action['name']}' in stage '{stage}' does not declare any commands")


def _type_of(action: Mapping[str, Any], region: str) -> ActionType:
    type_id = action["actionTypeId"]
    kind = find_action_type(type_id)
    if kind is None:
        raise _invalid(
            f"ActionType (Category: '{type_id['category']}', Provider: '{type_id['provider']}', Owner: "
            f"'{type_id['owner']}', Version: '{type_id['version']}') in action '{action['name']}' is not available in "
            f"region '{region.upper().replace('-', '_')}'"
        )
    return kind


def _check_configuration(action: Mapping[str, Any], kind: ActionType) -> None:
    configuration = action.get("configuration") or {}
    known = {item.name for item in kind.properties}
    for item in kind.properties:
        if item.required and item.name not in configuration:
            raise _invalid(
                f"Action configuration for action '{action['name']}' is missing required configuration '{item.name}'"
            )
    for key, value in configuration.items():
        if key not in known:
            raise _invalid(f"Action configuration for action '{action['name']}' contains unknown configuration '{key}'")
        if key in _BOOLEANS and value.lower() not in ("true", "false") and "#{" not in value:
            raise _invalid(f"Action configuration '{key}' of action '{action['name']}' must be true or false")
    if kind.provider == "S3" and kind.category == "Deploy":
        _check_s3_deploy(action["name"], configuration)


def _check_s3_deploy(name: str, configuration: Mapping[str, str]) -> None:
    if configuration["Extract"].lower() == "false" and "ObjectKey" not in configuration:
        raise _invalid(
            f"Action configuration for action '{name}' is missing required configuration 'ObjectKey': it is required "
            "when Extract is false"
        )
    acl = configuration.get("CannedACL")
    if acl is not None and "#{" not in acl and acl not in CANNED_ACLS:
        raise _invalid(f"Action configuration 'CannedACL' of action '{name}' has the unknown value '{acl}'")


def _check_count(action: Mapping[str, Any], side: str, bounds: tuple[int, int]) -> None:
    count = len(action.get(f"{side}Artifacts") or ())
    least, most = bounds
    if count < least:
        raise _invalid(
            f"Pipeline action declares {count} {side} artifacts which is less than the minimum count ({least}): "
            f"action '{action['name']}'"
        )
    if count > most:
        raise _invalid(
            f"Pipeline action declares {count} {side} artifacts which is more than the maximum count ({most}): "
            f"action '{action['name']}'"
        )


def _check_region(action: Mapping[str, Any], region: str) -> None:
    type_id = action["actionTypeId"]
    other = action.get("region") not in (None, region)
    if other and (type_id["category"] in ("Source", "Approval") or type_id["owner"] != "AWS"):
        raise _invalid(
            f"Action '{action['name']}' cannot be cross-region: source, approval, third-party and custom actions must "
            "be in the pipeline's region"
        )
