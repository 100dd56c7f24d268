"""Event patterns, schedules, input transformers, as PATTERNS.md tells them. Pure: knows no rule, bus or target."""
