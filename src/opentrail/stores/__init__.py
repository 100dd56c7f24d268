"""Plugs for state and bytes: the engines behind `ports`. They know keys, bytes and numbers; never what those mean."""
