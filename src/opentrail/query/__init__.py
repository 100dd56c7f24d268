"""S3 Select: its SQL dialect (pure), and the process of its own in which DuckDB runs what was made of it."""
