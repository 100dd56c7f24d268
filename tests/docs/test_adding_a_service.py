"""The service of the guide works as the guide says, on a real server."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from opentrail.server.wiring import SERVICES, running
from opentrail.settings import Settings

GUIDE = Path(__file__).parents[2] / "docs/design/adding-a-service.md"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
_CODE = re.compile(r"<!-- service -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def service_of_the_guide(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _CODE.search(GUIDE.read_text())
    assert found is not None
    module = ModuleType("service_of_the_guide")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(found[1], str(GUIDE), "exec"), vars(module))
    monkeypatch.setitem(SERVICES, "ssm", module.service)


def _use(url: str) -> list[Any]:
    ssm = boto3.client(
        "ssm", endpoint_url=url, region_name="eu-west-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )
    first = ssm.put_parameter(Name="/app/greeting", Value="hello", Type="String")
    with pytest.raises(ClientError, match="ParameterAlreadyExists"):
        ssm.put_parameter(Name="/app/greeting", Value="again", Type="String")
    with pytest.raises(ClientError, match="ParameterNotFound"):
        ssm.get_parameter(Name="/app/nothing")
    with pytest.raises(ClientError, match="NotImplemented"):
        ssm.delete_parameter(Name="/app/greeting")
    return [first["Version"], ssm.get_parameter(Name="/app/greeting")["Parameter"]["Value"]]


async def test_service_of_the_guide_works(service_of_the_guide: None, tmp_path: Path):
    settings = Settings(data_dir=tmp_path, port=0, root_access_key_id=KEY, root_secret_access_key=SECRET)
    async with running(settings) as server:
        assert await asyncio.to_thread(_use, server.url) == [1, "hello"]
        lines = [line.data.decode() for _, line in server.house.ledger.read(0, 100)]
    put = next(line for line in lines if '"PutParameter"' in line)
    assert '"eventSource":"ssm.amazonaws.com"' in put
    assert "hello" not in put, "the model marks the value as sensitive"
    assert sum('"errorCode"' in line for line in lines) == 3
