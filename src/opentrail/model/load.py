"""The models of every AWS service, loaded when they are first asked for.

The only importer of botocore, of which it uses the data files and nothing else. An index of all services, written by
`model.index`, is read at start, so that a name, a signing name or a target prefix is resolved without opening a model.
"""

from __future__ import annotations

import gzip
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from botocore.loaders import Loader

from opentrail.model.build import build_service
from opentrail.model.overlay import table
from opentrail.model.shapes import Operation, ServiceModel

IN_SCOPE = (
    "s3",
    "s3control",
    "cloudtrail",
    "events",
    "codepipeline",
    "logs",
    "cloudwatch",
    "sns",
    "sqs",
    "iam",
    "sts",
    "kms",
    "organizations",
)
"""Services whose models stay in memory once loaded."""
OTHER_SERVICES_MAX = 32
"""Further models kept in memory; the least recently used goes first. The largest (ec2) takes some tens of MB."""
DATA = Path(Loader.BUILTIN_DATA_PATH)


def read_raw(name: str, api_version: str) -> dict[str, Any]:
    """The `service-2` document of a service as AWS ships it. What the SDK adds for its users is left out."""
    path = DATA / name / api_version / "service-2.json"
    packed = path.with_suffix(".json.gz")
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    raw: dict[str, Any] = msgspec.json.decode(data)
    return raw


def newest_versions() -> dict[str, str]:
    """Every service that has a model, with its newest API version."""
    loader = Loader(extra_search_paths=[str(DATA)], include_default_search_paths=False)
    return {
        name: loader.determine_latest_version(name, "service-2") for name in loader.list_available_services("service-2")
    }


def merge(base: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """Lay `patch` over `base`: objects are merged, anything else replaces; null removes."""
    for key, value in patch.items():
        if value is None:
            base.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value


class Models:
    """All services of AWS's that botocore describes. Names are botocore's (`s3control`, `events`)."""

    def __init__(self, index: Mapping[str, Mapping[str, Any]]) -> None:
        self._index = index
        self._pinned: dict[str, ServiceModel] = {}
        self._others: OrderedDict[str, ServiceModel] = OrderedDict()
        self._signing: dict[str, tuple[str, ...]] = {}
        self._targets: dict[str, tuple[str, ...]] = {}
        self._versions: dict[str, tuple[str, ...]] = {}
        self._prefixes: dict[str, str] = {}
        for name, row in sorted(index.items(), key=_precedence):
            _append(self._signing, row["signing_name"], name)
            self._prefixes.setdefault(row["endpoint_prefix"], row["signing_name"])
            if "query" in row["protocols"]:
                _append(self._versions, row["api_version"], name)
            if target := row["target_prefix"]:
                _append(self._targets, target, name)
                if "." in target:
                    _append(self._targets, target.rpartition(".")[2], name)

    def names(self) -> tuple[str, ...]:
        """Every service, sorted."""
        return tuple(self._index)

    def summary(self, name: str) -> Mapping[str, Any]:
        """The index row of a service, without loading its model; KeyError if there is none."""
        return self._index[name]

    def by_signing_name(self, name: str) -> tuple[str, ...]:
        """The services whose requests are signed for `name`; empty when unknown."""
        return self._signing.get(name, ())

    def by_target(self, prefix: str) -> tuple[str, ...]:
        """The services whose `X-Amz-Target` is `<prefix>.<Operation>` (Timestream's two share one). A prefix with dots is
        also known by its last part: CloudTrail answers to `CloudTrail_20131101`."""
        return self._targets.get(prefix, ())

    def by_query_version(self, api_version: str) -> tuple[str, ...]:
        """The services that speak the query protocol in this API version (`2011-06-15`)."""
        return self._versions.get(api_version, ())

    def by_endpoint_prefix(self, prefix: str) -> str:
        """The signing name of the service at the host `<prefix>.<region>.amazonaws.com`; empty when unknown."""
        return self._prefixes.get(prefix, "")

    def service(self, name: str) -> ServiceModel:
        """The model of a service, loaded at first use; KeyError for a name that is not in `names()`."""
        model = self._pinned.get(name)
        if model is None:
            model = self._others.get(name) or self._load(name)
        return model

    def query_service(self, name: str) -> ServiceModel:
        """As `service`, with the names that its query protocol uses, where those differ from JSON's (SQS)."""
        variant = f"{name}/query"
        if variant not in table("corrections"):
            return self.service(name)
        if variant not in self._pinned:
            self._pinned[variant] = self._build(name, name, variant)
        return self._pinned[variant]

    def operation(self, service: str, name: str) -> Operation:
        """KeyError if there is no such service or operation."""
        return self.service(service).operations[name]

    def preload(self, names: Iterable[str] = IN_SCOPE) -> None:
        """Load what will be needed, so that no call has to wait for it."""
        for name in names:
            self.service(name)

    def standard_error(self, service: str, code: str) -> tuple[int, str] | None:
        """(HTTP status, standard message) of an error code; None for a code that is nobody's.

        Looked up in the service's own table, in the errors of its model (whose message is empty), then among the
        errors every service of its kind gives.
        """
        own = table("s3_errors").get(code) if service in ("s3", "s3control") else None
        if own is not None:
            return own[0], own[1]
        common = table("common_errors").get(code)
        shape = self.service(service).error_codes.get(code) if service in self._index else None
        if shape is not None:
            return shape.error_status or 400, common[1] if common else ""
        return None if common is None else (common[0], common[1])

    def _load(self, name: str) -> ServiceModel:
        model = self._build(name, name)
        if name in IN_SCOPE:
            self._pinned[name] = model
        else:
            self._others[name] = model
            if len(self._others) > OTHER_SERVICES_MAX:
                self._others.popitem(last=False)
        return model

    def _build(self, name: str, *corrected_by: str) -> ServiceModel:
        raw = read_raw(name, self._index[name]["api_version"])
        for key in corrected_by:
            for correction in table("corrections").get(key, ()):
                merge(raw, correction["merge"])
        return build_service(name, raw)


def _precedence(item: tuple[str, Mapping[str, Any]]) -> tuple[bool, bool, str]:
    """Of services that share a name on the wire, ours first, then the one that gave the name (rds before docdb)."""
    name, row = item
    return name not in IN_SCOPE, name != row["signing_name"], name


def _append(groups: dict[str, tuple[str, ...]], key: str, name: str) -> None:
    groups[key] = (*groups.get(key, ()), name)


@cache
def load_models() -> Models:
    """The process's one `Models`. Reads the index only."""
    return Models(table("services"))
