"""Which lines are echoes of CloudTrail's own deliveries, so that trails do not feed on themselves or on each other.

Delivering leaves records: PutObject into the log bucket, a look at its ACL, a data key, a message to the topic, a stream
of a log group. A trail may log them, its own by RecursiveLogging, another's by its selectors. All of them are delivered.
But a file that would hold nothing else than the records of such files' delivery is not made: they wait for the next line
that somebody else caused. Looks at an ACL do not wait: a file of these is delivered without a look, and ends them. So a
call echoes once through every trail that logs the deliveries, and then it is quiet. What is known of quiet files is lost
with the process: one more echo, after each start.
"""

from __future__ import annotations

from collections import OrderedDict

from opentrail.followers.delivery_plan import Echo
from opentrail.record.record_head import RecordHead
from opentrail.rows.cloudtrail import DELIVERY_PRINCIPAL, PlannedFile

ACCESS_LOG_PRINCIPAL = "logging.s3.amazonaws.com"
"""Who delivers server access logs: of a log bucket, those would tell of each delivery, and that of the next."""
QUIET_FILES_MAX = 10_000
"""Files remembered whose delivery makes nobody deliver; those whose record is read again at once suffice."""


class Echoes:
    """Tells echoes from news."""

    def __init__(self) -> None:
        self._quiet: OrderedDict[str, None] = OrderedDict()

    def note(self, row: PlannedFile) -> None:
        """A file is about to be delivered."""
        if row.quiet:
            self._quiet[f"arn:aws:s3:::{row.bucket}/{row.key}"] = None
            while len(self._quiet) > QUIET_FILES_MAX:
                self._quiet.popitem(last=False)

    def of(self, record: RecordHead) -> Echo:
        """What a line is."""
        by = record.user_identity.invoked_by
        if by == ACCESS_LOG_PRINCIPAL:
            return Echo.OWN  # what it tells of has a record of its own, or is CloudTrail's delivery
        if by != DELIVERY_PRINCIPAL:
            return Echo.NONE
        if record.event_name == "GetBucketAcl":
            return Echo.LOOK
        if record.event_name != "PutObject":
            return Echo.OWN
        return Echo.OWN if any(each.arn in self._quiet for each in record.resources) else Echo.NEWS
