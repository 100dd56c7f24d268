"""A service is a table of handlers. Routing, parsing, permission, audit and error bodies come without a line.

    service = Service("sns")

    @service.operation("CreateTopic")
    async def create_topic(call: Call, unit: Unit) -> Shape:
        "Create a topic, or return the one of that name."
        ...

Handlers raise AwsError, return the output by the model's member names, and write only into the unit. They must be
repeatable: after a Conflict the gate walks them again (keep what must not happen twice in `call.stash`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from opentrail.call import Access, Call, Principal, Shape
from opentrail.errors import AwsError
from opentrail.state import Unit

if TYPE_CHECKING:
    from opentrail.wire.route import Route

Handler: TypeAlias = Callable[[Call, Unit], Awaitable[Shape]]
Guard: TypeAlias = Callable[[Call, Unit], Sequence[Access]]
"""The questions the permission check must answer with yes before the handler runs."""
Refuse: TypeAlias = Callable[[Call, Unit, AwsError], AwsError]
"""Given a refusal of the permission check: the error that the caller is told."""
CrossOrigin: TypeAlias = Callable[[Call, Unit, str, dict[str, str]], None]
"""Given the call, the bucket it goes to and the headers of its answer: adds what a browser needs to hear."""

Witness: TypeAlias = Callable[[Call, Unit, "Route", int], None]
"""Given a call that is about to be committed with the unit, where it was routed, and its status: notes it there."""


class RoleSession(Protocol):
    """What STS does for the rooms that act in roles: a session of the role, for the AWS service that acts.

    `context` are condition keys for the role's trust policy. What is written or emitted into the unit has to be committed
    before the session is used. Raises AwsError if there is no such role or it does not trust the service."""

    def __call__(
        self,
        unit: Unit,
        role_arn: str,
        session_name: str,
        service: str,
        now: float,
        context: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Principal: ...


class Service:
    """The built operations of one AWS service (or of one family of them), by operation name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.handlers: dict[str, Handler] = {}
        self.guards: dict[str, Guard] = {}
        self.default_guard: Guard | None = None
        self.refuse: Refuse | None = None
        """Asked when the permission check has refused a call; `call.may` can be asked by then."""
        self.cross_origin: CrossOrigin | None = None
        """Asked for every answer to a request with an Origin header, refusals included."""
        self.witness: Witness | None = None
        """Asked for calls whose evidence says `witnessed`, and for those that failed, bad signatures included."""

    def operation(self, name: str) -> Callable[[Handler], Handler]:
        """Register the handler of an operation of the model. Its docstring's first line is its line in the docs."""

        def register(handler: Handler) -> Handler:
            if name in self.handlers:
                raise ValueError(f"{self.name}.{name} has two handlers")
            self.handlers[name] = handler
            return handler

        return register

    def guard(self, *names: str) -> Callable[[Guard], Guard]:
        """Register what must be allowed for these operations; without names, for all that have no guard of their own.

        Without any guard the facts decide: the operation's IAM action on its resource template."""

        def register(guard: Guard) -> Guard:
            if not names:
                self.default_guard = guard
            for name in names:
                self.guards[name] = guard
            return guard

        return register

    def include(self, other: Service) -> None:
        """Take over the handlers and guards of a family of the same service."""
        for name, handler in other.handlers.items():
            self.operation(name)(handler)
        self.guards.update(other.guards)
        self.default_guard = self.default_guard or other.default_guard

    def guard_of(self, operation: str) -> Guard | None:
        return self.guards.get(operation, self.default_guard)
