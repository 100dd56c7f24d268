"""Every setting of the server, declared once: command line, environment, TOML file and the docs' table come from here."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


def setting(default: Any, help: str, *, hidden: bool = False) -> Any:  # noqa: ANN401  (a dataclass field of any type)
    """A field that is also an option `--name`, a variable `OPENTRAIL_NAME` and a TOML key `name`.

    A `hidden` one is for tests: it works as the others, but neither the help nor the docs speak of it."""
    return field(default=default, metadata={"help": help, "hidden": hidden})


@dataclass(frozen=True, slots=True)
class Settings:
    """Durations are seconds. Account ids are twelve digits."""

    data_dir: Path = setting(Path("opentrail-data"), "Directory that holds everything: ledger, objects, keys.")
    host: str = setting("127.0.0.1", "Address to listen on.")
    port: int = setting(4580, "Port to listen on; 0 takes a free one.")
    account_id: str = setting("000000000000", "Account of the root user, twelve digits.")
    region: str = setting("us-east-1", "Region assumed where a request names none.")
    root_access_key_id: str = setting("", "Access key id of the root user; generated at first start when empty.")
    root_secret_access_key: str = setting("", "Its secret; generated and shown once at first start when empty.")
    delivery_interval: float = setting(300.0, "How often log files are delivered (5m, 30s, …).")
    insight_learning: float = setting(
        129_600.0, "How long calls are counted before Insights tell what is unusual (at AWS up to 36 hours)."
    )
    digest_interval: float = setting(3600.0, "How often digest files are delivered.")
    access_log_interval: float = setting(300.0, "How often server access logs of buckets are delivered.")
    domain: str = setting("", "Domain for virtual-host addressing: BUCKET.DOMAIN (localhost always works).")
    tls_certificate: str = setting("", "PEM file with the certificate chain; with tls-key, serves HTTPS.")
    tls_key: str = setting("", "PEM file with its private key.")
    post_to: str = setting(
        "", "Networks (10.0.0.0/8,…) for topics' messages and replicas; empty means all but link-local and the like."
    )
    replication_endpoints: str = setting(
        "", "TOML file of buckets on other servers to replicate to: endpoint, region, access key of each."
    )
    event_names: str = setting(
        "recorded",
        "Names of S3's events where the user guide's list and Amazon's real records differ: `recorded` or `documented`.",
    )
    display_names: bool = setting(
        False,
        "Show DisplayName in S3's owners and grants, as S3 did until November 2025, for clients that look for it.",
    )
    encrypt_buckets: bool = setting(
        False,
        "Give new buckets SSE-S3 as their default encryption, as AWS does; what is not encrypted goes out faster.",
    )
    vpc_endpoints: str = setting("", "TOML or JSON file of VPC endpoints: ids, owners, policies, own listeners.")
    vpc_endpoint_header: str = setting("", "Header in which a trusted peer names the VPC endpoint of a request.")
    vpc_endpoint_peers: str = setting("", "Networks (10.0.0.0/8,…) whose peers are trusted to do so.")
    history_days: int = setting(90, "How many days back the event history reaches; at least 90.")
    history_data_events: bool = setting(True, "Keep data events in the event history too, for `opentrail lookup`.")
    lookup_rate: int = setting(2, "LookupEvents calls a second in one account and region, as at AWS; 0 sets no limit.")
    lifecycle_day: float = setting(
        86400.0,
        "How long a day is to lifecycle rules, restores and reports. For tests; x-amz-expiration keeps to real days.",
        hidden=True,
    )
    legacy_bucket_defaults: bool = setting(
        False,
        "Give new buckets the defaults of before April 2023: ACLs in force, nothing blocked. For tests.",
        hidden=True,
    )
    record: bool = setting(True, "Record calls. Off only for measuring what recording costs; never in production.")


def is_hidden(name: str) -> bool:
    """Is the setting one that only tests know?"""
    return any(f.name == name and f.metadata["hidden"] for f in fields(Settings))


def setting_fields() -> list[tuple[str, Any, str]]:
    """(name, default, help) of every setting, in order."""
    return [(f.name, f.default, str(f.metadata["help"])) for f in fields(Settings)]
