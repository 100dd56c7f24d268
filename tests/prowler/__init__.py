"""Prowler's CloudTrail checks against a real server: `make prowler`."""
