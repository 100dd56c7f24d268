"""Calls EventBridge's handlers as the gate does: the model's checks, the guard, the handler, one commit with a record."""

from __future__ import annotations

from functools import cache

from opentrail.call import Call, HttpRequest, Principal
from opentrail.model.load import load_models
from opentrail.ports import Line
from opentrail.services.events import service
from opentrail.wire.validate import validate
from tests.fakes.house import build_house, commit, new_unit

ACCOUNT, REGION = "111122223333", "eu-west-1"


@cache
def models():
    return load_models()


class Caller:
    """One account in one region of a house."""

    def __init__(self, house=None, account=ACCOUNT, region=REGION):
        self.house = house or build_house(models=models())
        self.account, self.region = account, region
        self.asked = []

    async def __call__(self, operation, **given):
        model = models().operation("events", operation)
        call = Call(
            HttpRequest("POST", "/", "", {}, None, "127.0.0.1"), "r", "", 0.0, model, self.region, self.account,
            Principal("Root", self.account), input=given,
        )  # fmt: skip
        validate(model, model.service.protocol, given)
        unit = new_unit(self.house)
        self.asked = list(service.guard_of(operation)(call, unit))
        output = await service.handlers[operation](call, unit)
        await commit(unit, [Line("record", b"{}")])
        return output
