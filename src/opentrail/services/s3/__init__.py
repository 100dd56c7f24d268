"""S3: one file per family of operations, on what they share: `objects`, `versions`, `payload`, `reading`, `guard`."""
