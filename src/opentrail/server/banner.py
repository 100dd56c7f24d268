"""What the server says when it has started: where everything is and how to point a client at it."""

from __future__ import annotations

from opentrail import __version__
from opentrail.server.wiring import Running
from opentrail.settings import Settings


def banner(server: Running, settings: Settings) -> str:
    """The start-up text. A newly made root secret appears here and nowhere else."""
    lines = [
        f"OpenTrail {__version__} is listening on {server.url}",
        f"  account {settings.account_id}, region {settings.region}, data in {settings.data_dir.resolve()}",
    ]
    if server.new_root_key is not None:
        access_key_id, secret = server.new_root_key
        lines += [
            "  a root access key was made; its secret is shown this once:",
            f"    export AWS_ACCESS_KEY_ID={access_key_id}",
            f"    export AWS_SECRET_ACCESS_KEY={secret}",
        ]
    lines += [
        "  to use the AWS CLI or any SDK:",
        f"    export AWS_ENDPOINT_URL={server.url} AWS_DEFAULT_REGION={settings.region}",
        "    aws s3 mb s3://my-bucket && aws cloudtrail lookup-events",
        f"  health: {server.url}/_opentrail/health     stop with Ctrl-C",
    ]
    return "\n".join(lines)
