"""What every command that asks a running server shares: its options, its key, and what to do when the answer is no.

Endpoint, region and keys come from the options, then from the variables that the AWS CLI reads too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import click

from opentrail.errors import AwsError
from opentrail.server.client import BadEndpoint, Client, Unanswered
from opentrail.settings import Settings
from opentrail.wire.outgoing import Key

Command = Callable[..., None]
CANNOT = 2
"""Exit status when a command could not do its work; 1 is kept for an answer of no."""
ENDPOINT_VARIABLES = ("OPENTRAIL_ENDPOINT_URL", "AWS_ENDPOINT_URL")
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION", "OPENTRAIL_REGION")
UNKNOWN_KEY = (
    "The server does not know this access key. Take the root key that `opentrail serve` showed at its first start, or a "
    "key that was made with `opentrail account create` or IAM."
)
ADVICE = {
    "InvalidClientTokenId": UNKNOWN_KEY,
    "UnrecognizedClientException": UNKNOWN_KEY,
    "InvalidAccessKeyId": UNKNOWN_KEY,
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID: export both again.",
    "InvalidSignatureException": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID: export both again.",
    "ExpiredToken": "Get new temporary credentials, or unset AWS_SESSION_TOKEN and use a long-term key.",
    "ExpiredTokenException": "Get new temporary credentials, or unset AWS_SESSION_TOKEN and use a long-term key.",
    "AccessDenied": "Use a key that may do this: the root's, or a user's with AdministratorAccess.",
    "AccessDeniedException": "Use a key that may do this: the root's, or a user's with AdministratorAccess.",
}
"""What to do next, by error code."""


class CannotDo(click.ClickException):
    """The command could not do its work."""

    exit_code = CANNOT


def connection_options(command: Command) -> Command:
    """`--endpoint-url` and `--region`."""
    endpoint = click.option(
        "--endpoint-url",
        metavar="URL",
        help="The server to ask (OPENTRAIL_ENDPOINT_URL, AWS_ENDPOINT_URL) [default: http://127.0.0.1:4580]",
    )
    region = click.option("--region", help="Region to ask in (AWS_REGION, AWS_DEFAULT_REGION) [default: us-east-1]")
    return endpoint(region(command))


def connect(endpoint_url: str | None, region: str | None, environment: Mapping[str, str]) -> Client:
    """A client as options and environment say. Raises CannotDo where they say nothing usable."""
    key = Key(
        environment.get("AWS_ACCESS_KEY_ID", ""),
        environment.get("AWS_SECRET_ACCESS_KEY", ""),
        environment.get("AWS_SESSION_TOKEN", ""),
    )
    if not key.access_key_id or not key.secret:
        message = (
            "no access key: export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.\n"
            "`opentrail serve` shows the root's at its first start."
        )
        raise CannotDo(message)
    endpoint = endpoint_url or _first(environment, ENDPOINT_VARIABLES) or _default_endpoint(environment)
    where = region or _first(environment, REGION_VARIABLES) or Settings().region
    try:
        return Client(endpoint.rstrip("/"), key, where, ca_bundle=environment.get("AWS_CA_BUNDLE", ""))
    except BadEndpoint as error:
        raise CannotDo(str(error)) from error


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")


def _default_endpoint(environment: Mapping[str, str]) -> str:
    return f"http://127.0.0.1:{environment.get('OPENTRAIL_PORT') or Settings().port}"


@contextmanager
def explained() -> Iterator[None]:
    """Turns what the client raises into a message that says what to do next."""
    try:
        yield
    except Unanswered as error:
        message = f"{error}\nStart a server with `opentrail serve`, or name one with --endpoint-url."
        raise CannotDo(message) from error
    except AwsError as error:
        lines = [f"{error.code}: {error.message}" if error.message else error.code, ADVICE.get(error.code, "")]
        raise CannotDo("\n".join(line for line in lines if line)) from error
