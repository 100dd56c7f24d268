"""Plugs for rules: one file per kind of target. Each knows how to deliver one event, and nothing of rules."""
