"""Organizations: units, what stands in them, moving accounts and tags, with each of their errors."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from msgspec.structs import replace

from opentrail.errors import AwsError, Conflict
from opentrail.rows.organization_tree import PLACES, UNIT_NAMES, UNITS, Place
from opentrail.rows.organizations import MEMBERS, ORGANIZATIONS, Member, organization_of
from opentrail.services import organizations, organizations_places
from opentrail.services.organizations_units import UNIT_DEPTH_MAX, UNITS_MAX
from tests.fakes.house import commit, new_unit
from tests.services.iam_world import ACCOUNT, OTHER, OTHER_ROOT, SERVICES, World, allow, policy, refused

SERVICES.setdefault("organizations", organizations.service)
NOBODY = "333333333333"
NO_UNIT = "ou-aaaa-bbbbbbbb"


@pytest.fixture
async def world() -> World:
    made = await World().begin()
    await ask(made, "CreateOrganization")
    made.root = (await ask(made, "ListRoots"))["Roots"][0]["Id"]
    return made


async def ask(world: World, operation: str, **given):
    return await world.call("organizations", operation, **given)


async def make(world: World, name: str, parent: str = "", **given):
    answer = await ask(world, "CreateOrganizationalUnit", ParentId=parent or world.root, Name=name, **given)
    return answer["OrganizationalUnit"]


async def join(world: World) -> None:
    made = await ask(world, "InviteAccountToOrganization", Target={"Id": OTHER, "Type": "ACCOUNT"})
    await ask(world, "AcceptHandshake", who=OTHER_ROOT, HandshakeId=made["Handshake"]["Id"])


async def move(world: World, source: str, goal: str, account: str = OTHER):
    return await ask(world, "MoveAccount", AccountId=account, SourceParentId=source, DestinationParentId=goal)


async def children(world: World, parent: str, kind: str = "ACCOUNT"):
    found = (await ask(world, "ListChildren", ParentId=parent, ChildType=kind))["Children"]
    assert {each["Type"] for each in found} <= {kind}
    return [each["Id"] for each in found]


def left_over(world: World) -> list[tuple[str, ...]]:
    """Keys of rows about units and what stands in them."""
    unit = new_unit(world.house)
    return [parts for table in (UNITS, UNIT_NAMES, PLACES) for parts, _ in table.all(unit)]


async def test_a_unit_is_made_found_renamed_and_deleted(world):
    made = await make(world, "Security")
    organization = organization_of(new_unit(world.house), ACCOUNT)
    assert re.fullmatch(rf"ou-{world.root[2:]}-[a-z0-9]{{8}}", made["Id"])
    assert made == {
        "Id": made["Id"],
        "Arn": f"arn:aws:organizations::{ACCOUNT}:ou/{organization.id}/{made['Id']}",
        "Name": "Security",
        "Path": f"{organization.id}/{world.root}/{made['Id']}/",
    }
    described = await ask(world, "DescribeOrganizationalUnit", OrganizationalUnitId=made["Id"])
    assert described["OrganizationalUnit"] == made
    renamed = await ask(world, "UpdateOrganizationalUnit", OrganizationalUnitId=made["Id"], Name="Audit")
    assert renamed["OrganizationalUnit"] == made | {"Name": "Audit"}
    same = await ask(world, "UpdateOrganizationalUnit", OrganizationalUnitId=made["Id"])
    assert same == renamed
    await make(world, "Security")  # the name is free again
    listed = await ask(world, "ListOrganizationalUnitsForParent", ParentId=world.root)
    assert [each["Name"] for each in listed["OrganizationalUnits"]] == ["Audit", "Security"]
    for each in listed["OrganizationalUnits"]:
        await ask(world, "DeleteOrganizationalUnit", OrganizationalUnitId=each["Id"])
    assert left_over(world) == []
    assert organization_of(new_unit(world.house), ACCOUNT).units == 0


async def test_siblings_have_different_names(world):
    first, _ = await make(world, "a"), await make(world, "b")
    with refused("DuplicateOrganizationalUnitException", 400):
        await make(world, "a")
    with refused("DuplicateOrganizationalUnitException", 400):
        await ask(world, "UpdateOrganizationalUnit", OrganizationalUnitId=first["Id"], Name="b")
    await make(world, "a", first["Id"])
    await make(world, "A")


async def test_units_are_nested_five_deep(world):
    row = [await make(world, "level 1")]
    for level in range(2, UNIT_DEPTH_MAX + 1):
        row.append(await make(world, f"level {level}", row[-1]["Id"]))
    assert row[-1]["Path"].split("/")[2:] == [*(each["Id"] for each in row), ""]
    with pytest.raises(AwsError) as caught:
        await make(world, "level 6", row[-1]["Id"])
    assert (caught.value.code, caught.value.fields["Reason"]) == (
        "ConstraintViolationException",
        "OU_DEPTH_LIMIT_EXCEEDED",
    )
    for upper, lower in pairwise(row):
        parents = (await ask(world, "ListParents", ChildId=lower["Id"]))["Parents"]
        assert parents == [{"Id": upper["Id"], "Type": "ORGANIZATIONAL_UNIT"}]
        assert await children(world, upper["Id"], "ORGANIZATIONAL_UNIT") == [lower["Id"]]
        with refused("OrganizationalUnitNotEmptyException", 400):
            await ask(world, "DeleteOrganizationalUnit", OrganizationalUnitId=upper["Id"])
    for each in reversed(row):
        await ask(world, "DeleteOrganizationalUnit", OrganizationalUnitId=each["Id"])


async def test_there_are_so_many_units_and_no_more(world):
    unit = new_unit(world.house)
    organization = organization_of(unit, ACCOUNT)
    ORGANIZATIONS.put(unit, replace(organization, units=UNITS_MAX), organization.id)
    await commit(unit)
    with pytest.raises(AwsError) as caught:
        await make(world, "one more")
    assert caught.value.fields["Reason"] == "OU_NUMBER_LIMIT_EXCEEDED"


async def test_an_account_is_moved(world):
    await join(world)
    outer = await make(world, "outer")
    inner = await make(world, "inner", outer["Id"])
    assert await children(world, world.root) == [ACCOUNT, OTHER]
    await move(world, world.root, inner["Id"])
    assert (await children(world, world.root), await children(world, inner["Id"])) == ([ACCOUNT], [OTHER])
    (account,) = (await ask(world, "ListAccountsForParent", ParentId=inner["Id"]))["Accounts"]
    assert account["Paths"] == [f"{inner['Path']}{OTHER}/"]
    assert (await ask(world, "DescribeAccount", AccountId=OTHER))["Account"] == account
    parents = (await ask(world, "ListParents", ChildId=OTHER))["Parents"]
    assert parents == [{"Id": inner["Id"], "Type": "ORGANIZATIONAL_UNIT"}]
    with refused("OrganizationalUnitNotEmptyException", 400):
        await ask(world, "DeleteOrganizationalUnit", OrganizationalUnitId=inner["Id"])
    with refused("DuplicateAccountException", 400):
        await move(world, inner["Id"], inner["Id"])
    with refused("SourceParentNotFoundException", 400):
        await move(world, world.root, outer["Id"])
    with refused("SourceParentNotFoundException", 400):
        await move(world, NO_UNIT, outer["Id"])
    with refused("DestinationParentNotFoundException", 400):
        await move(world, inner["Id"], NO_UNIT)
    with refused("DestinationParentNotFoundException", 400):
        await move(world, inner["Id"], "r-zzzz9")
    with refused("AccountNotFoundException", 400):
        await move(world, world.root, inner["Id"], NOBODY)
    await move(world, inner["Id"], world.root)
    assert (await ask(world, "ListParents", ChildId=OTHER))["Parents"] == [{"Id": world.root, "Type": "ROOT"}]
    await ask(world, "DeleteOrganizationalUnit", OrganizationalUnitId=inner["Id"])


async def test_whoever_leaves_leaves_his_unit(world):
    await join(world)
    made = await make(world, "made")
    await move(world, world.root, made["Id"])
    await ask(world, "LeaveOrganization", who=OTHER_ROOT)
    assert not list(PLACES.all(new_unit(world.house)))
    await join(world)
    assert await children(world, world.root) == [ACCOUNT, OTHER]
    await move(world, world.root, made["Id"])
    await ask(world, "RemoveAccountFromOrganization", AccountId=OTHER)
    await ask(world, "DeleteOrganizationalUnit", OrganizationalUnitId=made["Id"])
    await make(world, "inner", (await make(world, "left over"))["Id"])
    await ask(world, "DeleteOrganization")
    assert left_over(world) == []


async def test_lists_come_in_pages(world, monkeypatch):
    monkeypatch.setattr(organizations_places, "LOOKED_AT_MAX", 3)
    made = await make(world, "made")
    for name in ("c", "a\0b", "a"):
        await make(world, name)
    unit = new_unit(world.house)
    organization = organization_of(unit, ACCOUNT)
    for number in range(10):
        account = f"20000000000{number}"
        parent = made["Id"] if number < 7 else ""
        MEMBERS.put(unit, Member(1.0, "CREATED", parent=parent), organization.id, account)
        if parent:
            PLACES.put(unit, Place(1.0), organization.id, parent, account)
    await commit(unit)

    async def all_of(operation: str, member: str, **given):
        found, token, pages = [], None, 0
        while True:
            page = await ask(world, operation, **given, **({"NextToken": token} if token else {}))
            assert len(page[member]) <= given["MaxResults"]
            found += page[member]
            token, pages = page.get("NextToken"), pages + 1
            if token is None:
                return found, pages

    placed, pages = await all_of("ListChildren", "Children", ParentId=made["Id"], ChildType="ACCOUNT", MaxResults=2)
    assert ([each["Id"][-1] for each in placed], pages) == (list("0123456"), 4)
    free, pages = await all_of("ListChildren", "Children", ParentId=world.root, ChildType="ACCOUNT", MaxResults=2)
    assert [each["Id"][-1] for each in free] == ["1", "7", "8", "9"]
    units, pages = await all_of(
        "ListOrganizationalUnitsForParent", "OrganizationalUnits", ParentId=world.root, MaxResults=1
    )
    assert ([each["Name"] for each in units], pages) == (["a", "a\0b", "c", "made"], 4)
    for operation in ("ListChildren", "ListAccountsForParent"):
        kind = {"ChildType": "ACCOUNT"} if operation == "ListChildren" else {}
        with refused("InvalidInputException", 400):
            await ask(world, operation, ParentId=world.root, NextToken="?", **kind)


@pytest.mark.parametrize(
    ("operation", "given", "code"),
    [
        ("CreateOrganizationalUnit", {"ParentId": NO_UNIT, "Name": "x"}, "ParentNotFoundException"),
        ("UpdateOrganizationalUnit", {"OrganizationalUnitId": NO_UNIT}, "OrganizationalUnitNotFoundException"),
        ("DeleteOrganizationalUnit", {"OrganizationalUnitId": NO_UNIT}, "OrganizationalUnitNotFoundException"),
        ("DescribeOrganizationalUnit", {"OrganizationalUnitId": NO_UNIT}, "OrganizationalUnitNotFoundException"),
        ("ListOrganizationalUnitsForParent", {"ParentId": NO_UNIT}, "ParentNotFoundException"),
        ("ListAccountsForParent", {"ParentId": NO_UNIT}, "ParentNotFoundException"),
        ("ListChildren", {"ParentId": NO_UNIT, "ChildType": "ACCOUNT"}, "ParentNotFoundException"),
        ("ListParents", {"ChildId": NO_UNIT}, "ChildNotFoundException"),
        ("ListParents", {"ChildId": NOBODY}, "ChildNotFoundException"),
        ("ListTagsForResource", {"ResourceId": NO_UNIT}, "TargetNotFoundException"),
        ("TagResource", {"ResourceId": NOBODY, "Tags": []}, "TargetNotFoundException"),
        ("UntagResource", {"ResourceId": "p-12345678", "TagKeys": []}, "TargetNotFoundException"),
    ],
)
async def test_what_is_not_there(world, operation, given, code):
    with refused(code, 400):
        await ask(world, operation, **given)


async def test_members_change_nothing_and_read_only_as_administrators(world):
    await join(world)
    made = await make(world, "made")
    reads = [
        ("DescribeOrganizationalUnit", {"OrganizationalUnitId": made["Id"]}),
        ("ListOrganizationalUnitsForParent", {"ParentId": world.root}),
        ("ListAccountsForParent", {"ParentId": world.root}),
        ("ListChildren", {"ParentId": world.root, "ChildType": "ACCOUNT"}),
        ("ListParents", {"ChildId": OTHER}),
        ("ListTagsForResource", {"ResourceId": world.root}),
    ]
    writes = [
        ("CreateOrganizationalUnit", {"ParentId": world.root, "Name": "x"}),
        ("UpdateOrganizationalUnit", {"OrganizationalUnitId": made["Id"], "Name": "x"}),
        ("DeleteOrganizationalUnit", {"OrganizationalUnitId": made["Id"]}),
        ("MoveAccount", {"AccountId": OTHER, "SourceParentId": world.root, "DestinationParentId": made["Id"]}),
        ("TagResource", {"ResourceId": OTHER, "Tags": []}),
        ("UntagResource", {"ResourceId": OTHER, "TagKeys": []}),
    ]
    for operation, given in reads + writes:
        with refused("AccessDeniedException", 400):
            await ask(world, operation, who=OTHER_ROOT, **given)
    await ask(world, "EnableAWSServiceAccess", ServicePrincipal="cloudtrail.amazonaws.com")
    await ask(world, "RegisterDelegatedAdministrator", AccountId=OTHER, ServicePrincipal="cloudtrail.amazonaws.com")
    for operation, given in reads:
        await ask(world, operation, who=OTHER_ROOT, **given)
    for operation, given in writes:
        with refused("AccessDeniedException", 400):
            await ask(world, operation, who=OTHER_ROOT, **given)


async def test_permissions_are_asked_for_what_is_touched(world):
    made = await make(world, "made", Tags=[{"Key": "team", "Value": "blue"}])
    other = await make(world, "other")
    blue = allow("organizations:*", Condition={"StringEquals": {"aws:ResourceTag/team": "blue"}})
    keeper = await world.user("keeper", blue)
    await ask(world, "UpdateOrganizationalUnit", who=keeper, OrganizationalUnitId=made["Id"], Name="theirs")
    with refused("AccessDeniedException", 400):
        await ask(world, "UpdateOrganizationalUnit", who=keeper, OrganizationalUnitId=other["Id"], Name="x")
    with refused("AccessDeniedException", 400):
        given = {"SourceParentId": world.root, "DestinationParentId": made["Id"]}
        await ask(world, "MoveAccount", who=keeper, AccountId=ACCOUNT, **given)
    maker = await world.user("maker", allow("organizations:CreateOrganizationalUnit"))
    await ask(world, "CreateOrganizationalUnit", who=maker, ParentId=world.root, Name="plain")
    with refused("AccessDeniedException", 400):
        tags = [{"Key": "team", "Value": "blue"}]
        await ask(world, "CreateOrganizationalUnit", who=maker, ParentId=world.root, Name="tagged", Tags=tags)


async def test_tags_of_root_unit_and_account(world):
    made = await make(world, "made", Tags=[{"Key": "a", "Value": "1"}])
    for resource in (world.root, made["Id"], ACCOUNT):
        tags = [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": ""}]
        await ask(world, "TagResource", ResourceId=resource, Tags=tags)
        assert (await ask(world, "ListTagsForResource", ResourceId=resource))["Tags"] == tags
        await ask(world, "UntagResource", ResourceId=resource, TagKeys=["a", "never"])
        assert (await ask(world, "ListTagsForResource", ResourceId=resource))["Tags"] == [{"Key": "b", "Value": ""}]
        many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
        with refused("ConstraintViolationException", 400):
            await ask(world, "TagResource", ResourceId=resource, Tags=many)
        with refused("InvalidInputException", 400):
            await ask(world, "TagResource", ResourceId=resource, Tags=[{"Key": "aws:x", "Value": ""}])
        with refused("InvalidInputException", 400):
            await ask(world, "UntagResource", ResourceId=resource, TagKeys=["AWS:x"])


@pytest.mark.parametrize(
    ("key", "inside"),
    [
        ({"StringEquals": {"aws:PrincipalOrgID": "${organization}"}}, (True, True)),
        ({"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "${path}*"}}, (True, False)),
        ({"ForAnyValue:StringEquals": {"aws:PrincipalOrgPaths": "${organization}/${root}/"}}, (False, True)),
        ({"StringEquals": {"aws:PrincipalOrgMasterAccount": ACCOUNT}}, (True, True)),
        ({"StringEquals": {"aws:ResourceOrgID": "${aws:PrincipalOrgID}"}}, (True, True)),
        ({"ForAnyValue:StringLike": {"aws:ResourceOrgPaths": "${path}*"}}, (False, False)),
    ],
)
async def test_conditions_ask_where_an_account_stands(world, key, inside):
    """A role of the management account, entered by a member out of a unit, and again out of the root."""
    await join(world)
    made = await make(world, "made")
    member = await world.user("member", allow("sts:AssumeRole"), root=OTHER_ROOT)
    text = json.dumps(key)
    values = {"${path}": made["Path"], "${root}": world.root, "${organization}": made["Path"].split("/")[0]}
    for name, value in values.items():
        text = text.replace(name, value)
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": OTHER},
        "Action": "sts:AssumeRole",
        "Condition": json.loads(text),
    }
    role = await world.iam("CreateRole", RoleName="r", AssumeRolePolicyDocument=policy(statement))
    place = world.root
    for goal, let_in in ((made["Id"], inside[0]), (world.root, inside[1])):
        await move(world, place, goal)
        place = goal
        given = {"RoleArn": role["Role"]["Arn"], "RoleSessionName": "in"}
        if let_in:
            await world.sts("AssumeRole", who=member, **given)
        else:
            with refused("AccessDenied", 403):
                await world.sts("AssumeRole", who=member, **given)
    await ask(world, "LeaveOrganization", who=OTHER_ROOT)
    with refused("AccessDenied", 403):
        await world.sts("AssumeRole", who=member, **given)


async def test_nothing_comes_into_a_unit_that_is_being_deleted(world):
    made = await make(world, "made")
    late = new_unit(world.house)
    await ask(world, "CreateOrganizationalUnit", ParentId=made["Id"], Name="before")
    (inner,) = await children(world, made["Id"], "ORGANIZATIONAL_UNIT")
    await ask(world, "DeleteOrganizationalUnit", OrganizationalUnitId=inner)
    call = world.last
    call.input = {"ParentId": made["Id"], "Name": "late"}
    await SERVICES["organizations"].handlers["CreateOrganizationalUnit"](call, late)
    await ask(world, "DeleteOrganizationalUnit", OrganizationalUnitId=made["Id"])
    with pytest.raises(Conflict):
        await commit(late)
