"""Step 4: may they? Gathers what has a say in a call and asks `access.decide`, the only permission check there is.

The questions come from the service's guard, or from the operation's facts when it has none. Knows no operation by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentrail.access.context import OrganizationPlace, RequestContext
from opentrail.access.decide import NO_IDENTITY, Decision, Identity, Source, decide, refused_by_endpoint
from opentrail.access.refusal import refusal
from opentrail.call import Access, Call
from opentrail.errors import AwsError
from opentrail.model.facts import resource_arn
from opentrail.rows.organizations import place_of
from opentrail.service import Service
from opentrail.services.identity import identity_of
from opentrail.state import House, Unit

WITHOUT_IDENTITY = frozenset({"Anonymous", "AWSService"})
ENDPOINT_POLICY: Source = "VPC endpoint policy"


class Permit:
    """The permission check of the road."""

    def __init__(self, house: House, services: Mapping[str, Service]) -> None:
        self._house = house
        self._services = services

    def check(self, call: Call, unit: Unit) -> None:
        """Raise the refusal of the first question that is answered with no; arm `call.may` for the handler."""
        asked = _Asked(call, unit)
        call.may = asked.may
        for question in self._questions(call, unit):
            decision = asked.decide(question)
            if not decision.allowed:
                call.evidence.denied_by_endpoint = decision.reason == ENDPOINT_POLICY
                raise self._refusal(call, unit, refusal(decision, call.principal, question))
            if decision.by_acl:
                call.evidence.additional["aclRequired"] = "Yes"

    def _refusal(self, call: Call, unit: Unit, error: AwsError) -> AwsError:
        service = self._services.get(call.operation.service.name)
        return error if service is None or service.refuse is None else service.refuse(call, unit, error)

    def _questions(self, call: Call, unit: Unit) -> Sequence[Access]:
        service = self._services.get(call.operation.service.name)
        guard = None if service is None else service.guard_of(call.operation.name)
        return default_questions(call) if guard is None else guard(call, unit)


class _Asked:
    """The identity and the context of one call, gathered once for all its questions."""

    __slots__ = ("_call", "_context", "_identity", "_unit")

    def __init__(self, call: Call, unit: Unit) -> None:
        self._call = call
        self._unit = unit
        self._identity: Identity | None = None
        self._context: RequestContext | None = None

    def decide(self, question: Access) -> Decision:
        call = self._call
        if self._identity is None or self._context is None:
            without = call.principal.type in WITHOUT_IDENTITY
            self._identity = NO_IDENTITY if without else identity_of(self._unit, call.principal)
            self._context = RequestContext(call.principal, call.request, call.region, self._unit.now, self._place)
        endpoint = call.request.endpoint
        if endpoint is not None and endpoint.policy:
            refused = refused_by_endpoint(endpoint.policy, call.principal, self._identity, question, self._context)
            if refused is not None:
                return refused
        return decide(call.principal, self._identity, question, self._context)

    def _place(self, account_id: str) -> OrganizationPlace | None:
        return place_of(self._unit, account_id)

    def may(self, question: Access) -> bool:
        """`call.may` while the handler runs."""
        return self.decide(question).allowed


def default_questions(call: Call) -> list[Access]:
    """The operation's IAM actions on the resource its facts name."""
    facts = call.operation.facts
    resource = facts.resource
    if resource != "*":
        resource = resource_arn(resource, call.input, call.region, call.account_id)
    return [Access(action, resource, call.account_id) for action in facts.actions]
