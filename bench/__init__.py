"""Figures against other servers on the same machine in the same run: `python -m bench`. Knows the server only from
outside: its command line, its port, its process id. `ledger_lines` and `busy_server` also put lines into its ledger."""
