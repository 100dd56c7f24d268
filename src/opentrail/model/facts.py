"""What the models do not say about an operation: its name in the record, who may call it, what it touches.

Pure tables over the overlays; knows no protocol and no handler.
"""

from __future__ import annotations

from opentrail.model.shapes import Facts, ServiceModel

READ_VERBS = ("Get", "List", "Describe", "Head", "Lookup", "Search", "BatchGet", "Query", "Scan", "Select", "Test")
"""First words of operations that change nothing."""


def facts_of(service: ServiceModel, operation: str) -> Facts:
    """The facts of one operation of `service`."""
    prefix = service.endpoint_prefix.partition(".")[0]
    return Facts(
        event_source=f"{prefix}.amazonaws.com",
        event_name=operation,
        documented_name=operation,
        category="Management",
        read_only=operation.startswith(READ_VERBS),
        actions=(f"{prefix}:{operation}",),
        resource="*",
    )
