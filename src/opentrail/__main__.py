"""`python -m opentrail` is the command `opentrail`."""

from opentrail.server.cli import main

main()
