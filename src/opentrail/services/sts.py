"""STS: who am I, and temporary credentials for roles, users and federated users.

Source: STS API reference.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentrail.access.decide import Decision
from opentrail.access.policy import validate_policy
from opentrail.access.refusal import refusal
from opentrail.call import Access, Call, Issuer, Principal, Resource, Session, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import ACCESS_KEYS, Pairs, Role, account_of_key_id, new_key_id
from opentrail.service import Service
from opentrail.services.iam_common import read_tags, size_of, tagged
from opentrail.services.identity import managed_document
from opentrail.services.mfa import device_of, use_code
from opentrail.services.sts_sessions import (
    assumed,
    credentials,
    find_role_by_arn,
    read_seconds,
    role_issuer,
    role_session,
    same_caller,
)
from opentrail.state import Unit

__all__ = ["role_session", "service"]

ROLE_SECONDS = 3_600
"""Duration of a role's session when none is asked for, and the most that a session gets from another session."""
USER_SECONDS, USER_SECONDS_MAX = 43_200, 129_600
ROOT_SECONDS_MAX = 3_600
"""Seconds of GetSessionToken and GetFederationToken: by default, at most, and at most for the root."""
POLICY_ARNS_MAX = 10
PACKED_CHARS_MAX = 2_048
"""Characters that session policy and tags may have together; told as a percentage."""
TAG_SESSION = "sts:TagSession"
SET_SOURCE_IDENTITY = "sts:SetSourceIdentity"

service = Service("sts")


@service.guard("GetCallerIdentity", "GetSessionToken")
def open_to_all(_call: Call, _unit: Unit) -> Sequence[Access]:
    """Everybody may ask who he is; every user may have a session of his own."""
    return []


@service.operation("GetCallerIdentity")
async def get_caller_identity(call: Call, unit: Unit) -> Shape:
    """Who the caller is: account, unique id and ARN."""
    principal = call.principal
    return {"UserId": principal.principal_id, "Account": principal.account_id, "Arn": principal.arn}


@service.guard("AssumeRole")
def guard_assume_role(call: Call, unit: Unit) -> Sequence[Access]:
    """The role's trust policy is asked for the assumption itself, for its tags and for its source identity. It may want a
    code of the caller's MFA device, which is therefore looked at here."""
    arn, principal = call.input["RoleArn"], call.principal
    role = find_role_by_arn(unit, arn)
    if principal.type == "Root":
        raise AwsError("AccessDenied", "Roles may not be assumed by root accounts.", 403)
    if role is None:
        raise refusal(Decision(False), principal, Access("sts:AssumeRole", arn, principal.account_id, trust=True))
    actions = ["sts:AssumeRole"]
    if call.input.get("Tags"):
        actions.append(TAG_SESSION)
    if call.input.get("SourceIdentity"):
        actions.append(SET_SOURCE_IDENTITY)
    context = _trust_context(call, role)
    if _shows_mfa(call, unit):
        context |= {"aws:multifactorauthpresent": ("true",), "aws:multifactorauthage": ("0",)}
    return [Access(action, arn, role.account_id, role.trust, context=context, trust=True) for action in actions]


def _trust_context(call: Call, role: Role) -> dict[str, tuple[str, ...]]:
    given = call.input
    context: dict[str, tuple[str, ...]] = {"sts:rolesessionname": (given["RoleSessionName"],)}
    for member, key in (("ExternalId", "sts:externalid"), ("SourceIdentity", "sts:sourceidentity")):
        if member in given:
            context[key] = (given[member],)
    tags = read_tags(call)
    if tags:
        context["aws:tagkeys"] = tuple(key for key, _value in tags)
    if given.get("TransitiveTagKeys"):
        context["sts:transitivetagkeys"] = tuple(map(str, given["TransitiveTagKeys"]))
    context.update({f"aws:requesttag/{key.lower()}": (value,) for key, value in tags})
    for key, value in role.tags:
        context[f"aws:resourcetag/{key.lower()}"] = (value,)
        context[f"iam:resourcetag/{key.lower()}"] = (value,)
    return context


@service.operation("AssumeRole")
async def assume_role(call: Call, unit: Unit) -> Shape:
    """Temporary credentials of a role that trusts the caller."""
    given, caller = call.input, call.principal
    role = find_role_by_arn(unit, given["RoleArn"])
    assert role is not None  # the guard has asked it
    policies, arns, tags, packed = _narrowing(call, unit, role.account_id)
    session = Session(
        issuer=role_issuer(role),
        created_at=int(unit.now),
        expires_at=int(unit.now) + _role_seconds(call, role),
        mfa_authenticated="SerialNumber" in given,  # the guard has seen its code
        source_identity=_source_identity(call),
        policies=policies,
        tags=tags,
    )
    name = given["RoleSessionName"]
    principal = assumed(unit, role, name, session, caller.invoked_by if caller.type == "AWSService" else "")
    call.evidence.resources.append(Resource("AWS::IAM::Role", role.arn, role.account_id))
    call.evidence.owner_account_id = role.account_id
    answer: Shape = {
        "Credentials": credentials(unit, principal, arns),
        "AssumedRoleUser": {"AssumedRoleId": principal.principal_id, "Arn": principal.arn},
    }
    if session.source_identity:
        answer["SourceIdentity"] = session.source_identity
    return answer | packed


def _role_seconds(call: Call, role: Role) -> int:
    asked = call.input.get("DurationSeconds")
    if call.principal.type == "AssumedRole":
        message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        return read_seconds(asked, ROLE_SECONDS, ROLE_SECONDS, message)
    message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    return read_seconds(asked, ROLE_SECONDS, role.max_session, message)


def _source_identity(call: Call) -> str:
    """What was set once stays through every further session."""
    session = call.principal.session
    inherited = session.source_identity if session is not None else ""
    asked: str = call.input.get("SourceIdentity", "")
    if inherited and asked not in ("", inherited):
        raise AwsError("AccessDenied", "The source identity of a session cannot be changed.", 403)
    return inherited or asked


def _shows_mfa(call: Call, unit: Unit) -> bool:
    """Whether the call shows a code of the caller's device, which is then used up; AccessDenied for a wrong one."""
    serial, code = call.input.get("SerialNumber"), call.input.get("TokenCode")
    if serial is None and code is None:
        return False
    if serial is None or code is None:
        raise _mfa_failed(", must provide both MFA serial number and one time pass code.")
    device = device_of(unit, call.principal, serial)
    if device is None:
        told = ", unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user."
        raise _mfa_failed(told)
    if not use_code(unit, device, code):
        raise _mfa_failed(" with invalid MFA one time pass code.")
    return True


def _mfa_failed(how: str) -> AwsError:
    return AwsError("AccessDenied", f"MultiFactorAuthentication failed{how}", 403)


def _narrowing(call: Call, unit: Unit, account_id: str) -> tuple[tuple[str, ...], tuple[str, ...], Pairs, Shape]:
    """Session policies, ARNs of managed ones, tags, and how much of the room for them is used."""
    policy = call.input.get("Policy", "")
    if policy:
        validate_policy(policy, "session")
    arns = tuple(str(entry.get("arn", "")) for entry in call.input.get("PolicyArns") or ())
    if len(arns) > POLICY_ARNS_MAX:
        raise AwsError("ValidationError", f"A session can have at most {POLICY_ARNS_MAX} managed policies.", 400)
    for arn in arns:
        own = arn.split(":")[4:5] in ([account_id], ["aws"])
        if not own or not managed_document(unit, arn):
            raise AwsError("MalformedPolicyDocument", f"The policy {arn} cannot be found.", 400)
    tags = tagged((), read_tags(call), "Session")
    used = size_of(policy) + sum(map(len, arns)) + sum(len(key) + len(value) for key, value in tags)
    percent = -(-used * 100 // PACKED_CHARS_MAX)
    if percent > 100:
        message = f"Packed size of session tags consumes {percent}% of allotted space."
        raise AwsError("PackedPolicyTooLarge", message, 400)
    return (policy,) if policy else (), arns, tags, {"PackedPolicySize": percent} if used else {}


def _refuse_sessions(call: Call) -> None:
    """Temporary credentials do not beget others of the same kind."""
    if call.principal.type not in ("IAMUser", "Root") or call.principal.session is not None:
        raise AwsError("AccessDenied", f"Cannot call {call.operation.name} with session credentials", 403)


def _user_seconds(call: Call) -> int:
    asked = call.input.get("DurationSeconds")
    if call.principal.type == "Root":
        return min(asked or ROOT_SECONDS_MAX, ROOT_SECONDS_MAX)
    return read_seconds(asked, USER_SECONDS, USER_SECONDS_MAX, "The requested DurationSeconds is too long.")


@service.operation("GetSessionToken")
async def get_session_token(call: Call, unit: Unit) -> Shape:
    """Temporary credentials of the calling user, who may do with them what he may do anyway."""
    _refuse_sessions(call)
    seconds = _user_seconds(call)
    return {"Credentials": credentials(unit, same_caller(unit, call.principal, seconds, mfa=_shows_mfa(call, unit)))}


@service.operation("GetFederationToken")
async def get_federation_token(call: Call, unit: Unit) -> Shape:
    """Temporary credentials for somebody the caller vouches for, narrowed by session policies."""
    _refuse_sessions(call)
    caller, name = call.principal, call.input["Name"]
    account = caller.account_id
    policies, arns, tags, packed = _narrowing(call, unit, account)
    issuer = Issuer(caller.type, caller.principal_id, caller.arn, account, caller.user_name)
    session = Session(issuer, int(unit.now), int(unit.now) + _user_seconds(call), policies=policies, tags=tags)
    principal = Principal(
        type="FederatedUser",
        account_id=account,
        arn=f"arn:aws:sts::{account}:federated-user/{name}",
        principal_id=f"{account}:{name}",
        access_key_id=new_key_id(unit.house.clock, "ASIA", account),
        session=session,
    )
    user = {"FederatedUserId": principal.principal_id, "Arn": principal.arn}
    return {"Credentials": credentials(unit, principal, arns), "FederatedUser": user} | packed


@service.operation("GetAccessKeyInfo")
async def get_access_key_info(call: Call, unit: Unit) -> Shape:
    """The account that an access key belongs to."""
    key_id = call.input["AccessKeyId"]
    key = ACCESS_KEYS.get(unit, key_id)
    account = key.account_id if key is not None else account_of_key_id(key_id)
    if not account:
        raise AwsError("ValidationError", f"Access key {key_id} tells no account.", 400)
    return {"Account": account}
