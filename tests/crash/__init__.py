"""kill -9 under load, again and again, and nothing acknowledged is lost or told twice: `python -m tests.crash`."""
