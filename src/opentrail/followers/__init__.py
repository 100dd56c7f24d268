"""What happens afterwards: readers of the ledger with cursors. Each can be stopped and started at any moment."""
