"""S3 Metadata: the configurations of tables that tell of a bucket's objects.

Such tables lie in S3 Tables' buckets, which are not built here, so no bucket can have a configuration: none can be made
(MethodNotAllowed, S3's word where a bucket cannot have a feature), and whoever asks for one hears that there is none. A
document that was kept while no table is written would be a lie. Source: API reference of the nine operations.
"""

from __future__ import annotations

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.service import Service
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

NOT_HERE = "The specified method is not allowed against this resource: there are no S3 Tables for its metadata."

family = Service("s3")


@family.operation("CreateBucketMetadataConfiguration")
async def create_bucket_metadata_configuration(call: Call, unit: Unit) -> Shape:
    """Refused with MethodNotAllowed: there are no S3 Tables to write metadata to."""
    bucket_of(call, unit)
    given = call.input.get("MetadataConfiguration") or {}
    if ((given.get("JournalTableConfiguration") or {}).get("RecordExpiration") or {}).get("Expiration") is None:
        raise malformed()
    raise _not_allowed(call)


@family.operation("CreateBucketMetadataTableConfiguration")
async def create_bucket_metadata_table_configuration(call: Call, unit: Unit) -> Shape:
    """Refused with MethodNotAllowed: there are no S3 Tables to write metadata to."""
    bucket_of(call, unit)
    target = (call.input.get("MetadataTableConfiguration") or {}).get("S3TablesDestination") or {}
    if not target.get("TableBucketArn") or not target.get("TableName"):
        raise malformed()
    raise _not_allowed(call)


def _not_allowed(call: Call) -> AwsError:
    return AwsError("MethodNotAllowed", NOT_HERE, 405, Method=call.request.method, ResourceType="BUCKETMETADATA")


@family.operation("GetBucketMetadataConfiguration")
@family.operation("GetBucketMetadataTableConfiguration")
async def get_bucket_metadata_configuration(call: Call, unit: Unit) -> Shape:
    """MetadataConfigurationNotFound: no bucket here has one."""
    raise _not_found(call, unit)


@family.operation("UpdateBucketMetadataAnnotationTableConfiguration")
@family.operation("UpdateBucketMetadataInventoryTableConfiguration")
@family.operation("UpdateBucketMetadataJournalTableConfiguration")
async def update_bucket_metadata_table(call: Call, unit: Unit) -> Shape:
    """MetadataConfigurationNotFound: no bucket here has one."""
    raise _not_found(call, unit)


def _not_found(call: Call, unit: Unit) -> AwsError:
    name = bucket_of(call, unit).name
    return AwsError("MetadataConfigurationNotFound", "The metadata configuration was not found", 404, BucketName=name)


@family.operation("DeleteBucketMetadataConfiguration")
@family.operation("DeleteBucketMetadataTableConfiguration")
async def delete_bucket_metadata_configuration(call: Call, unit: Unit) -> Shape:
    """Done: there is none."""
    bucket_of(call, unit)
    return {}
