"""What the families of EventBridge's operations share: finding buses and rules, pages, tags, permission questions.

Knows nothing of patterns or of how an event is delivered. Inputs have passed the model's constraints before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.events import BUSES, DEFAULT_BUS, RULES, Bus, Rule, bus_arn, rule_arn
from opentrail.services.page_token import read_token, write_token
from opentrail.state import T, Table, Unit

EVENTS_PRINCIPAL = "events.amazonaws.com"
PAGE_MAX = 100
TAGS_MAX = 50

_BUS_ARN = re.compile(r"arn:aws[\w-]*:events:([a-z0-9-]+):(\d{12}):event-bus/(.+)")
_DEFAULT = Bus(created=0.0, modified=0.0)


def invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message, 400)


def not_found(message: str) -> AwsError:
    return AwsError("ResourceNotFoundException", message, 400)


def exceeded() -> AwsError:
    return AwsError("LimitExceededException", "The requested resource exceeds the maximum number allowed.", 400)


def parse_bus(given: str, call: Call) -> tuple[str, str, str]:
    """(account, region, name) of a bus given by name or ARN; empty is the default bus."""
    found = _BUS_ARN.fullmatch(given)
    if found is None:
        return call.account_id, call.region, given or DEFAULT_BUS
    return found[2], found[1], found[3]


def find_bus(unit: Unit, account_id: str, region: str, name: str) -> Bus | None:
    """The default bus is always there."""
    found = BUSES.get(unit, account_id, region, name)
    return _DEFAULT if found is None and name == DEFAULT_BUS else found


def own_bus(call: Call, unit: Unit, given: str) -> str:
    """The name of a bus of the caller in the call's region; raises ResourceNotFoundException."""
    account_id, region, name = parse_bus(given, call)
    if (account_id, region) != (call.account_id, call.region) or find_bus(unit, account_id, region, name) is None:
        raise no_bus(name)
    return name


def no_bus(name: str) -> AwsError:
    return not_found(f"Event bus {name} does not exist.")


def find_rule(call: Call, unit: Unit, name: str) -> Rule:
    """The rule that `name` and `EventBusName` of the input name; raises ResourceNotFoundException."""
    bus = own_bus(call, unit, call.input.get("EventBusName") or "")
    found = RULES.get(unit, call.account_id, call.region, bus, name)
    return found if found is not None else no_rule(name, bus)


def no_rule(name: str, bus: str) -> NoReturn:
    raise not_found(f"Rule {name} does not exist on EventBus {bus}.")


def check_unmanaged(rule: Rule, call: Call) -> None:
    """Rules that a service made for itself are changed only with Force."""
    if rule.managed_by and not call.input.get("Force"):
        raise AwsError("ManagedRuleException", f"Rule {rule.name} is managed by {rule.managed_by}.", 400)


def guard_rule(member: str) -> Callable[[Call, Unit], Sequence[Access]]:
    """The operation's own action on the rule that an input member names (`*`: on any of the bus)."""

    def guard(call: Call, _unit: Unit) -> Sequence[Access]:
        account_id, region, bus = parse_bus(call.input.get("EventBusName") or "", call)
        name = str(call.input.get(member) or "*") if member else "*"
        return [Access(call.operation.facts.actions[0], rule_arn(account_id, region, bus, name), account_id)]

    return guard


def pass_role(role_arns: Iterable[str | None]) -> list[Access]:
    """Whoever lets EventBridge act as a role must be allowed to hand it that role, which is never another account's."""
    passed = {"iam:passedtoservice": (EVENTS_PRINCIPAL,)}
    roles = sorted({arn for arn in role_arns if arn})
    return [Access("iam:PassRole", arn, _account_of(arn), context=passed) for arn in roles]


def _account_of(arn: str) -> str:
    parts = arn.split(":")
    return parts[4] if len(parts) > 5 else ""


def guard_bus(member: str) -> Callable[[Call, Unit], Sequence[Access]]:
    """The operation's own action on the bus that an input member names."""

    def guard(call: Call, _unit: Unit) -> Sequence[Access]:
        account_id, region, name = parse_bus(str(call.input.get(member) or ""), call)
        return [Access(call.operation.facts.actions[0], bus_arn(account_id, region, name), account_id)]

    return guard


def read_page(
    call: Call, unit: Unit, table: Table[T], parts: tuple[str, ...], wanted: Callable[[str, T], bool]
) -> tuple[list[tuple[str, T]], Shape]:
    """Up to `Limit` wanted rows below `parts` behind `NextToken` as (last key part, row), and the answer's NextToken."""
    limit = int(call.input.get("Limit") or PAGE_MAX)
    token = call.input.get("NextToken")
    after = table.key(*parts, read_token(token, invalid("Invalid token."))) if token else b""
    found: list[tuple[str, T]] = []
    while True:
        rows = table.page(unit, *parts, after=after)
        for key, row in rows:
            name = table.parts(key)[-1]
            if not wanted(name, row):
                continue
            if len(found) == limit:
                return found, {"NextToken": write_token(found[-1][0])}
            found.append((name, row))
        if not rows:
            return found, {}
        after = rows[-1][0]


def cut_page(call: Call, items: Sequence[tuple[str, T]]) -> tuple[Sequence[tuple[str, T]], Shape]:
    """As `read_page`, of (name, row) items that are all at hand, in the order of names."""
    limit = int(call.input.get("Limit") or PAGE_MAX)
    token = call.input.get("NextToken")
    if token:
        after = read_token(token, invalid("Invalid token."))
        items = [item for item in items if item[0] > after]
    more = {"NextToken": write_token(items[limit - 1][0])} if len(items) > limit else {}
    return items[:limit], more


def merged_tags(old: dict[str, str], given: Sequence[Shape]) -> dict[str, str]:
    """Old tags with the given ones over them; raises ValidationException or LimitExceededException."""
    keys = [tag["Key"] for tag in given]
    if len(set(keys)) < len(keys):
        raise invalid("Invalid parameter: Duplicated keys are not allowed.")
    for key in keys:
        if key.lower().startswith("aws:"):
            raise invalid(f"Invalid parameter: Tag key {key} must not begin with aws:.")
    merged = {**old, **{tag["Key"]: tag["Value"] for tag in given}}
    if len(merged) > TAGS_MAX:
        raise exceeded()
    return merged


def count_below(table: Table[T], unit: Unit, limit: int, *parts: str) -> int:
    """Rows below `parts`, counted up to `limit`."""
    return len(table.page(unit, *parts, limit=limit))


def present(shape: Shape) -> Shape:
    """A shape without its empty members."""
    return {name: value for name, value in shape.items() if value not in ("", None, {}, [])}
