"""GetObjectTorrent. S3 gives no torrents any more: every request is refused, whatever the object.

Source: AWS's announcement that BitTorrent ends on 29 April 2022. It does not tell the code, so this is S3's own for a method
that a resource does not have.
"""

from __future__ import annotations

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.service import Service
from opentrail.services.s3.objects import bucket_of, readable_version
from opentrail.state import Unit

family = Service("s3")


@family.operation("GetObjectTorrent")
async def get_object_torrent(call: Call, unit: Unit) -> Shape:
    """Refused, as at AWS: BitTorrent was discontinued in 2022. A missing object is NoSuchKey."""
    readable_version(call, unit, bucket_of(call, unit))
    message = "The specified method is not allowed against this resource."
    raise AwsError("MethodNotAllowed", message, 405, Method="GET", ResourceType="TORRENT")
