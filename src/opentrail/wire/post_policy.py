"""Browser uploads: the signature and the policy document of an S3 form POST.

Pure: takes the form's fields (names in lower case, `${filename}` already expanded, the file left out), a secret and the
time. Whoever parses the form and stores the file is elsewhere. Source: S3 API Reference, "Browser-Based Uploads Using
POST" and "Creating a POST Policy".
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opentrail.errors import AwsError
from opentrail.wire import signature_faults as faults
from opentrail.wire import sigv2, sigv4
from opentrail.wire.signature import Signed, Verified

POLICY_MAX = 65_536
"""Bytes of a policy in Base64."""
CONDITIONS_MAX = 1_000
"""Conditions of one policy."""
LENGTH_MAX = 5 * 2**40
"""Bytes: a content-length-range beyond S3's largest object means no limit."""

_FREE = frozenset({"x-amz-signature", "awsaccesskeyid", "signature", "file", "policy"})
"""Fields that no condition has to name; those beginning with one of `_FREE_PREFIXES` neither."""
_FREE_PREFIXES = ("x-ignore-", "x-amz-checksum-")
"""A checksum says nothing of where and how the file is stored, and who signed could not know it (ceph/s3-tests)."""
_EXPIRATION = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{1,9})?Z")
_V4_FIELDS = ("policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
_V2_FIELDS = ("policy", "AWSAccessKeyId", "signature")


@dataclass(frozen=True, slots=True)
class LengthRange:
    """How many bytes the file may have, both ends included."""

    least: int = 0
    most: int = LENGTH_MAX

    def check(self, size: int) -> None:
        """Raise AwsError("EntityTooSmall" or "EntityTooLarge") unless a file of that many bytes may be sent."""
        if size < self.least:
            message = "Your proposed upload is smaller than the minimum allowed size"
            raise AwsError("EntityTooSmall", message, 400, ProposedSize=str(size), MinSizeAllowed=str(self.least))
        if size > self.most:
            message = "Your proposed upload exceeds the maximum allowed size"
            raise AwsError("EntityTooLarge", message, 400, ProposedSize=str(size), MaxSizeAllowed=str(self.most))


def _argument(message: str, name: str = "", value: str = "") -> AwsError:
    error = AwsError("InvalidArgument", message, 400)
    if name:
        error.fields.update(ArgumentName=name, ArgumentValue=value)
    return error


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidPolicyDocument", f"Invalid Policy: {message}", 400)


def _forbidden(message: str) -> AwsError:
    return faults.denied(f"Invalid according to Policy: {message}")


def read_form(fields: Mapping[str, str]) -> Signed | None:
    """What the form claims about its signer; None when it is anonymous (it has neither policy nor signature).

    Raises AwsError("InvalidArgument") where a field is missing or cannot be read.
    """
    v4 = any(name in fields for name in _V4_FIELDS[1:])
    v2 = "awsaccesskeyid" in fields or "signature" in fields
    if not (v4 or v2 or "policy" in fields):
        return None
    if v4 and v2:
        raise _argument("Only one auth mechanism allowed")
    for name in _V4_FIELDS if v4 else _V2_FIELDS:
        if not fields.get(name.lower()):
            hint = "If it is specified, please check the order of the fields."
            raise _argument(f"Bucket POST must contain a field named '{name}'.  {hint}", name)
    return _read_v4(fields) if v4 else _read_v2(fields)


def _read_v2(fields: Mapping[str, str]) -> Signed:
    return Signed(
        version="SigV2",
        method="HtmlForm",
        dialect="s3",
        access_key_id=fields["awsaccesskeyid"],
        signature=fields["signature"],
        timestamp=0,
        time_text="",
        session_token=fields.get("x-amz-security-token", ""),
    )


def _read_v4(fields: Mapping[str, str]) -> Signed:
    if fields["x-amz-algorithm"] != sigv4.ALGORITHM:
        raise _argument(
            'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"', "x-amz-algorithm", fields["x-amz-algorithm"]
        )
    credential = fields["x-amz-credential"]
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or not parts[0]:
        form = 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        raise _argument(form, "x-amz-credential", credential)
    key_id, date, region, service, terminator = parts
    if service != "s3":
        raise _argument(
            f'incorrect service "{service}". This endpoint belongs to "s3".', "x-amz-credential", credential
        )
    if terminator != sigv4.TERMINATOR:
        raise _argument(f'incorrect terminal "{terminator}". This endpoint uses "aws4_request".', "x-amz-credential")
    text = fields["x-amz-date"]
    timestamp = sigv4.parse_time(text)
    if timestamp is None:
        raise _argument("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"", "x-amz-date", text)
    if date != text[:8]:
        raise _argument(f'Invalid credential date "{date}". This date is not the same as X-Amz-Date: "{text[:8]}".')
    return Signed(
        version="SigV4",
        method="HtmlForm",
        dialect="s3",
        access_key_id=key_id,
        signature=fields["x-amz-signature"],
        timestamp=timestamp,
        time_text=text,
        session_token=fields.get("x-amz-security-token", ""),
        payload_hash=sigv4.UNSIGNED_PAYLOAD,
        date=date,
        region=region,
    )


def verify_form(fields: Mapping[str, str], signed: Signed, secret: str, *, now: float) -> Verified:
    """Prove that the policy is signed with this secret; raises AwsError("SignatureDoesNotMatch").

    Only the policy is signed: the other fields mean nothing until `check_policy` has compared them with it.
    """
    policy = fields.get("policy", "")
    if signed.version == "SigV2":
        key, expected = b"", sigv2.sign(secret, policy)
    else:
        key = sigv4.signing_key(secret, signed.date, signed.region, signed.service)
        expected = sigv4.sign(key, policy)
    if not sigv4.same(expected, signed.signature):
        raise faults.mismatch("s3", signed.access_key_id, policy, signed.signature)
    if signed.timestamp > now + faults.SKEW_MAX:
        raise faults.denied("Request is not valid yet")
    scope = sigv4.scope(signed.date, signed.region, signed.service) if signed.date else ""
    return Verified(expected, key, sigv4.UNSIGNED_PAYLOAD, signed.time_text, scope)


def check_policy(fields: Mapping[str, str], bucket: str, *, now: float) -> LengthRange:
    """Hold the form against its policy; returns what the policy says about the file's length.

    `bucket` is the one the request goes to. Raises AwsError("InvalidPolicyDocument") for a document that cannot be read,
    AwsError("AccessDenied") when it has expired, a condition does not hold, or a field is named by no condition.
    """
    document = _read_document(fields.get("policy", ""))
    if now > _expiration(document):
        raise _forbidden("Policy expired.")
    conditions = document.get("conditions")
    if conditions is None:
        raise _invalid("Policy missing conditions.")
    if not isinstance(conditions, list) or len(conditions) > CONDITIONS_MAX:
        raise _invalid("Invalid 'conditions' value: must be a List.")
    values = {"bucket": bucket, **fields}
    if values["bucket"] != bucket:
        raise _forbidden('Policy Condition failed: ["eq", "$bucket", "' + bucket + '"]')
    named: set[str] = set()
    length = LengthRange()
    for condition in conditions:
        operation, name, operand = _read_condition(condition)
        if operation == "content-length-range":
            length = _narrowed(length, condition)
            continue
        named.add(name)
        if not _holds(operation, name, operand, values):
            raise _forbidden(f"Policy Condition failed: {json.dumps(condition)}")
    extra = [name for name in fields if name not in named and name not in _FREE and not name.startswith(_FREE_PREFIXES)]
    if extra and extra != ["bucket"]:
        raise _forbidden(f"Extra input fields: {', '.join(extra)}")
    return length


def _read_document(text: str) -> dict[str, Any]:
    if len(text) > POLICY_MAX:
        raise _invalid("the document is too large.")
    try:
        plain = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise _invalid("invalid Base64 encoding.") from error
    try:
        document = json.loads(plain)
    except (ValueError, RecursionError) as error:
        raise _invalid("Invalid JSON.") from error
    if not isinstance(document, dict):
        raise _invalid("Invalid JSON.")
    return document


def _expiration(document: Mapping[str, Any]) -> float:
    text = document.get("expiration")
    if text is None:
        raise _invalid("Policy missing expiration.")
    match = _EXPIRATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _invalid(f"Invalid 'expiration' value: '{text}'")
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError as error:
        raise _invalid(f"Invalid 'expiration' value: '{text}'") from error


def _read_condition(condition: Any) -> tuple[str, str, str]:  # noqa: ANN401  (any JSON)
    """(operation, field in lower case, operand); the operands of a length range are read by `_narrowed`."""
    if isinstance(condition, dict):
        return _read_simple(condition)
    if not isinstance(condition, list):
        raise _invalid("Invalid condition test: must be a List or Object.")
    if not condition or not isinstance(condition[0], str):
        raise _invalid("Invalid Condition: missing operation identifier.")
    operation = condition[0].lower()
    if operation not in ("eq", "starts-with", "content-length-range"):
        raise _invalid(f"Invalid Condition: unknown operation '{operation}'.")
    if len(condition) != 3:
        raise _invalid(f"Invalid {operation}: wrong number of arguments.")
    if operation == "content-length-range":
        return operation, "", ""
    name, operand = condition[1:]
    if not (isinstance(name, str) and isinstance(operand, str) and name.startswith("$")):
        raise _invalid(f"Invalid {operation}: the arguments must be a field and a string.")
    return operation, name[1:].lower(), operand


def _read_simple(condition: Mapping[str, Any]) -> tuple[str, str, str]:
    if len(condition) != 1:
        message = "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified."
        raise _invalid(message)
    ((name, value),) = condition.items()
    if not isinstance(value, str):
        raise _invalid("Invalid Simple-Condition: value must be a string.")
    return "eq", name.lower(), value


def _holds(operation: str, name: str, operand: str, values: Mapping[str, str]) -> bool:
    value = values.get(name, "")
    if operation == "eq":
        return value == operand
    if name == "content-type":
        return all(part.strip().startswith(operand) for part in value.split(","))
    return value.startswith(operand)


def _narrowed(length: LengthRange, condition: list[Any]) -> LengthRange:
    least, most = (_size(value) for value in condition[1:])
    return LengthRange(max(length.least, least), min(length.most, most))


def _size(value: Any) -> int:  # noqa: ANN401  (any JSON)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _invalid("Invalid content-length-range: the arguments must be numbers.")
    return value
