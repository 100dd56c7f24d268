"""S3 Control: Block Public Access of a whole account, which comes on top of what its buckets block.

The caller must belong to the account it names. Source: API reference, S3 Control, Get/Put/DeletePublicAccessBlock.
"""

from __future__ import annotations

import re

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import ACCOUNT_ACCESS_BLOCKS
from opentrail.service import Service
from opentrail.services.s3.access_block import read_block, shown_block
from opentrail.state import Unit

_ACCOUNT_ID = re.compile(r"\d{12}", re.ASCII)

service = Service("s3control")


@service.operation("GetPublicAccessBlock")
async def get_public_access_block(call: Call, unit: Unit) -> Shape:
    """What the account blocks in all of its buckets."""
    account = _account(call)
    block = ACCOUNT_ACCESS_BLOCKS.get(unit, account)
    if block is None:
        raise AwsError("NoSuchPublicAccessBlockConfiguration", NOT_FOUND, 404, AccountId=account)
    return {"PublicAccessBlockConfiguration": shown_block(block)}


@service.operation("PutPublicAccessBlock")
async def put_public_access_block(call: Call, unit: Unit) -> Shape:
    """Set what the account blocks; what is not named is off."""
    block = read_block(call.input.get("PublicAccessBlockConfiguration"))
    ACCOUNT_ACCESS_BLOCKS.put(unit, block, _account(call))
    return {}


@service.operation("DeletePublicAccessBlock")
async def delete_public_access_block(call: Call, unit: Unit) -> Shape:
    """Block nothing by account any more."""
    ACCOUNT_ACCESS_BLOCKS.delete(unit, _account(call))
    return {}


NOT_FOUND = "The public access block configuration was not found"


def _account(call: Call) -> str:
    """The account that is named, which must be the caller's own."""
    account = call.input.get("AccountId", "")
    if not _ACCOUNT_ID.fullmatch(account):
        raise AwsError("InvalidRequest", "Invalid account ID", 400)
    if account != call.principal.account_id:
        raise AwsError("AccessDenied", "Access Denied", 403)
    return str(account)
