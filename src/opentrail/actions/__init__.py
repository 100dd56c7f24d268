"""Plugs for pipelines: one file per provider of actions. Each knows S3 or SNS as a caller does, and no other room."""
