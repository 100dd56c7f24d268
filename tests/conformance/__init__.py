"""Somebody else's tests against a real server: ceph/s3-tests, which is fetched by who runs them and never kept here."""
