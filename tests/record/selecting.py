"""Selectors as a trail takes them: checked when they are put, and then asked about records."""

from __future__ import annotations

from collections.abc import Sequence

from opentrail.call import Shape
from opentrail.record.event_selectors import (
    DEFAULT_SELECTORS,
    Predicate,
    check_advanced,
    check_basic,
    wanted_by,
)


def compile_selectors(basic: Sequence[Shape] | None = None, advanced: Sequence[Shape] | None = None) -> Predicate:
    """Whether any selector wants a record; raises what PutEventSelectors gives for one that no trail may have."""
    if advanced:
        check_advanced(advanced)
    else:
        check_basic(basic or DEFAULT_SELECTORS)
    return wanted_by(basic, advanced)
