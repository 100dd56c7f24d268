"""A policy document as an immutable object: read from its text, asked about an action on a resource.

Source: IAM user guide, "IAM JSON policy elements reference" and "Grammar of the IAM JSON policy language". Knows
nothing of who owns what, nor of how several policies are weighed against each other (`access.decide`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Any, NoReturn

from opentrail.access.conditions import BadCondition, Condition, compile_condition
from opentrail.access.glob import Lookup, Patterns, parse
from opentrail.access.principals import PRINCIPAL_KINDS, BadPrincipal, Naming, Principals, compile_principals
from opentrail.call import Principal

POLICY_CHARS_MAX = 131_072
"""Characters of any policy document (IAM's `policyDocumentType`)."""
POLICIES_CACHED_MAX = 2_048
ACTIONS_REMEMBERED_MAX = 512
"""Actions whose statements a policy remembers."""
STATEMENTS_MAX = 4_096
VERSIONS = ("2008-10-17", "2012-10-17")

_POLICY_FIELDS = frozenset({"Version", "Id", "Statement"})
_STATEMENT_FIELDS = frozenset(
    {
        *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource"),
        "Condition",
    }
)


class Verdict(IntEnum):
    """What one or several policies say."""

    SILENT = 0
    ALLOW = 1
    DENY = 2


class PolicyFault(ValueError):
    """What is wrong with a document: `problem` is a word of `access.policy`'s tables, `detail` the offending text."""

    def __init__(self, problem: str, detail: str = "") -> None:
        super().__init__(problem, detail)
        self.problem = problem
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. The raw texts are kept for validation and for telling public policies."""

    sid: str
    allow: bool
    actions: tuple[str, ...]
    not_action: bool
    resources: tuple[str, ...]
    not_resource: bool
    named: tuple[tuple[str, str], ...]
    """(kind, text) of every principal; kind `*` for the bare star."""
    not_principal: bool
    conditions: tuple[Condition, ...]
    principals: Principals | None
    _action_patterns: Patterns
    _resource_patterns: Patterns | None

    def covers_action(self, action: str) -> bool:
        return self._action_patterns.matches(action.lower(), _nothing) is not self.not_action

    def applies(self, resource: str, lookup: Lookup) -> bool:
        """Whether resource and conditions are those of the request (its action is taken as covered)."""
        patterns = self._resource_patterns
        if patterns is not None:
            if patterns.matches(resource, lookup) is self.not_resource:
                return False
            if self.not_resource and self.allow and not patterns.resolvable(lookup):
                return False
        return not self.conditions or all(condition.holds(lookup) for condition in self.conditions)

    def naming(self, caller: Principal) -> Naming:
        """How the Principal or NotPrincipal element means the caller; without one, not at all."""
        if self.principals is None:
            return Naming.NOT
        if not self.not_principal:
            return self.principals.naming(caller)
        if self.allow:
            return Naming.ITSELF if self.principals.naming(caller) is Naming.NOT else Naming.NOT
        return Naming.NOT if self.principals.lists_wholly(caller) else Naming.ITSELF


def _nothing(_key: str) -> None:
    return None


_Statements = tuple[tuple[Statement, ...], tuple[Statement, ...]]


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled document."""

    version: str
    statements: tuple[Statement, ...]
    _by_action: dict[str, _Statements] = field(default_factory=dict, compare=False, repr=False)

    def verdict(self, action: str, resource: str, lookup: Lookup) -> Verdict:
        """What an identity's policy says; principals play no part."""
        denies, allows = self._by_action.get(action) or self._select(action)
        for statement in denies:
            if statement.applies(resource, lookup):
                return Verdict.DENY
        for statement in allows:
            if statement.applies(resource, lookup):
                return Verdict.ALLOW
        return Verdict.SILENT

    def verdict_for(self, caller: Principal, action: str, resource: str, lookup: Lookup) -> tuple[Verdict, Naming]:
        """What a resource's policy says of a caller, and on an allow the strongest way it names the caller."""
        denies, allows = self._by_action.get(action) or self._select(action)
        for statement in denies:
            naming = statement.naming(caller)
            if naming is not Naming.NOT and statement.applies(resource, lookup):
                return Verdict.DENY, naming
        best = Naming.NOT
        for statement in allows:
            naming = statement.naming(caller)
            if naming > best and statement.applies(resource, lookup):
                best = naming
        return (Verdict.ALLOW if best is not Naming.NOT else Verdict.SILENT), best

    def _select(self, action: str) -> _Statements:
        """The statements (denies, allows) that cover an action, remembered: actions are few, calls are many."""
        covering = [statement for statement in self.statements if statement.covers_action(action)]
        chosen = (
            tuple(statement for statement in covering if not statement.allow),
            tuple(statement for statement in covering if statement.allow),
        )
        if len(self._by_action) < ACTIONS_REMEMBERED_MAX:
            self._by_action[action] = chosen
        return chosen


@lru_cache(maxsize=POLICIES_CACHED_MAX)
def parse_policy(text: str) -> Policy:
    """The compiled policy, cached by its text; raises PolicyFault."""
    document = _object(read_json(text), "syntax")
    for name in document:
        if name not in _POLICY_FIELDS:
            raise PolicyFault("field", name)
    version = document.get("Version", VERSIONS[0])
    if version not in VERSIONS:
        raise PolicyFault("version", str(version)[:64])
    if not isinstance(document.get("Id", ""), str):
        raise PolicyFault("syntax")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements or len(statements) > STATEMENTS_MAX:
        raise PolicyFault("statement")
    return Policy(version, tuple(_statement(item, version == VERSIONS[1]) for item in statements))


def read_json(text: str) -> Any:  # noqa: ANN401  (JSON)
    """Parsed JSON; repeated keys, non-numbers and excessive depth or size raise PolicyFault."""
    if len(text) > POLICY_CHARS_MAX:
        raise PolicyFault("size")
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except PolicyFault:
        raise
    except (ValueError, RecursionError) as error:
        raise PolicyFault("json") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise PolicyFault("json")
    return found


def _no_constant(_name: str) -> NoReturn:
    raise PolicyFault("json")


def _object(value: Any, problem: str) -> Mapping[str, Any]:  # noqa: ANN401  (JSON)
    if not isinstance(value, dict):
        raise PolicyFault(problem)
    return value


def _statement(item: Any, variables: bool) -> Statement:  # noqa: ANN401  (JSON)
    fields = _object(item, "statement")
    for name in fields:
        if name not in _STATEMENT_FIELDS:
            raise PolicyFault("field", name)
    sid, effect = fields.get("Sid", ""), fields.get("Effect")
    if not isinstance(sid, str):
        raise PolicyFault("syntax")
    if effect not in ("Allow", "Deny"):
        raise PolicyFault("effect", effect[:64] if isinstance(effect, str) else "")
    actions, not_action = _either(fields, "Action", "NotAction")
    resources, not_resource = _either(fields, "Resource", "NotResource")
    named, not_principal = _named(fields)
    if not actions:
        raise PolicyFault("action-missing")
    return Statement(
        sid=sid,
        allow=effect == "Allow",
        actions=actions,
        not_action=not_action,
        resources=resources,
        not_resource=not_resource,
        named=named,
        not_principal=not_principal,
        conditions=_conditions(fields.get("Condition", {}), variables),
        principals=_principals(named) if named else None,
        _action_patterns=Patterns(parse(action.lower(), False) for action in actions),
        _resource_patterns=Patterns(parse(text, variables) for text in resources) if resources else None,
    )


def _either(fields: Mapping[str, Any], name: str, negated: str) -> tuple[tuple[str, ...], bool]:
    """The texts of an element or of its negation; empty if there is neither."""
    if name in fields and negated in fields:
        raise PolicyFault("both", name)
    inverse = negated in fields
    given = negated if inverse else name
    return (_texts(fields[given], "syntax") if given in fields else ()), inverse


def _texts(value: Any, problem: str) -> tuple[str, ...]:  # noqa: ANN401  (JSON)
    """A text or a list of texts."""
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise PolicyFault(problem)
    return tuple(texts)


def _named(fields: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], bool]:
    if "Principal" in fields and "NotPrincipal" in fields:
        raise PolicyFault("both", "Principal")
    inverse = "NotPrincipal" in fields
    if not inverse and "Principal" not in fields:
        return (), False
    value = fields["NotPrincipal" if inverse else "Principal"]
    if value == "*":
        return (("*", "*"),), inverse
    if not isinstance(value, dict) or not value:
        raise PolicyFault("principal", value[:64] if isinstance(value, str) else "")
    named = []
    for kind, texts in value.items():
        if kind not in PRINCIPAL_KINDS:
            raise PolicyFault("principal", kind[:64])
        named += [(kind, text) for text in _texts(texts, "principal")]
    if not named:
        raise PolicyFault("principal")
    return tuple(named), inverse


def _principals(named: tuple[tuple[str, str], ...]) -> Principals:
    try:
        return compile_principals(named)
    except BadPrincipal as error:
        raise PolicyFault("principal", f'"{error.args[0]}":"{error.args[1]}"'[:2048]) from error


def _conditions(value: Any, variables: bool) -> tuple[Condition, ...]:  # noqa: ANN401  (JSON)
    compiled = []
    for name, keys in _object(value, "condition").items():
        for key, wanted in _object(keys, "condition").items():
            try:
                compiled.append(compile_condition(name, key, _values(wanted), variables))
            except BadCondition as error:
                raise PolicyFault(f"condition-{error.args[0]}", str(error.args[1])[:256]) from error
    return tuple(compiled)


def _values(value: Any) -> tuple[str, ...]:  # noqa: ANN401  (JSON)
    """Condition values as text: AWS lets numbers and booleans stand unquoted."""
    out = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, bool):
            out.append("true" if item else "false")
        elif isinstance(item, str | int | float):
            out.append(str(item))
        else:
            raise PolicyFault("condition")
    return tuple(out)
