"""The command line: `opentrail serve` and what goes with it. Settings become options here, from their one table."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import click
import uvloop

from opentrail import __version__
from opentrail.server.banner import banner
from opentrail.server.cli_account import account
from opentrail.server.cli_import import import_logs
from opentrail.server.cli_lookup import lookup
from opentrail.server.cli_verify import verify
from opentrail.server.config import BadSetting, flag, resolve, variable
from opentrail.server.wiring import DataDirectoryInUse, running
from opentrail.settings import Settings, is_hidden, setting_fields

Command = Callable[..., None]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="opentrail")
def main() -> None:
    """An open AWS CloudTrail for the S3 storage and the delivery pipelines that you run yourself.

    Start with `opentrail serve`; it prints how to point the AWS CLI at it. Every API call becomes a CloudTrail event.
    """


def settings_options(command: Command) -> Command:
    """One option for each setting."""
    for name, default, help_text in reversed(setting_fields()):
        shown = "" if default in ("", True) else f" [default: {_shown(default)}]"
        text = f"{help_text} ({variable(name)}){shown}"
        if isinstance(default, bool):
            option = click.option(
                f"{flag(name)}/{flag('no-' + name)}", name, default=None, help=text, hidden=is_hidden(name)
            )
        else:
            option = click.option(flag(name), name, default=None, help=text, hidden=is_hidden(name))
        command = option(command)
    return command


def _shown(default: object) -> str:
    return f"{default:g}s" if isinstance(default, float) else str(default)


@main.command()
@settings_options
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with settings as keys.")
def serve(config: Path | None, **options: str | bool | None) -> None:
    """Run the server until it is told to stop (Ctrl-C or SIGTERM).

    Each option is also an environment variable and a key of the TOML file; the command line wins, then the
    environment, then the file.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        settings = resolve(options, os.environ, config)
        uvloop.run(_serve(settings))
    except BadSetting as error:
        raise click.ClickException(str(error)) from error
    except DataDirectoryInUse as error:
        raise click.ClickException(f"{error} is in use by another opentrail; choose another --data-dir") from error
    except (OSError, ssl.SSLError) as error:
        raise click.ClickException(f"cannot start: {error}") from error


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with running(settings) as server:
        click.echo(banner(server, settings))
        await stop.wait()
        click.echo("stopping: finishing what is under way")
        with contextlib.suppress(NotImplementedError):
            for name in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(name)


main.add_command(account)
main.add_command(verify)
main.add_command(lookup)
main.add_command(import_logs)
