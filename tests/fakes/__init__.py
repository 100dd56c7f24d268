"""Hand-written, in-memory engines of the ports, for the rooms that need state but no disk."""
