"""Server-side encryption: what a write asks for, who may read, how data keys are kept. Shared by S3's families.

Bytes are encrypted where they are taken in and given out (`payload`, `reading`); here is decided whether and with what. The
key of each run of bytes is sealed under the server's key, bound to bucket, key and the ref of the bytes, so that it opens
nothing but them; besides it is wrapped under the customer's key with SSE-C, under a data key of KMS's with SSE-KMS.
Sources: S3 user guide, "Protecting data with encryption"; S3's answers and records.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket, ObjectVersion, Upload
from opentrail.services.s3.cipher import DataKey, new_data_key, unpack
from opentrail.services.s3.customer_key import MEMBERS, fits, new_mark, requested_key, wrapping_key
from opentrail.services.s3.kms_key import DSSE, KMS_ALGORITHMS, Place, Wrapper, new_wrapper, unwrapped
from opentrail.state import Sealer, Unit

SSE_S3 = "AES256"
ETAG_BYTES = 16
HEADER = "x-amz-server-side-encryption"
KMS_MEMBERS = ("SSEKMSKeyId", "SSEKMSEncryptionContext")
APPLIED = {SSE_S3: "SSE_S3", "aws:kms": "SSE_KMS", DSSE: "DSSE_KMS"}
"""What records call the encryptions of SSE-S3 and KMS (`SSEApplied`)."""
WRITE_MEMBERS = MEMBERS | {"ServerSideEncryption", *KMS_MEMBERS}
"""Members of a request for a new object that speak of encryption."""
STASH = "encryption"
"""Where a call keeps its `Protection`: bytes that were taken in under it are not taken again."""


@dataclass(frozen=True, slots=True)
class Protection:
    """How what a call writes is encrypted: by SSE-S3 or KMS (`sse`), or by SSE-C (`mark` and `wrapping`, the customer's).

    With KMS, `wrapping` is the plaintext of `wrapper`."""

    sse: str = ""
    default: bool = False
    """The bucket asked for it, not the request."""
    mark: bytes = b""
    wrapping: bytes = b""
    wrapper: Wrapper | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """The data key of one run of bytes in memory, and what it will be sealed with."""

    key: DataKey
    protection: Protection

    def etag(self, md5: str) -> str:
        """Of an object under SSE-C or KMS nothing may be told that its bytes could be guessed from: its ETag is no MD5."""
        if not self.protection.wrapping:
            return md5
        secret = self.protection.wrapping if self.protection.mark else self.key.secret
        return hmac.digest(secret, md5.encode(), "sha256")[:ETAG_BYTES].hex()

    def seal(self, unit: Unit, bucket: str, object_key: str, ref: str) -> bytes:
        """The data key as it is kept in the row that names the bytes."""
        purpose, packed = _purpose(bucket, object_key, ref), self.key.pack()
        if self.protection.wrapping:
            packed = Sealer(self.protection.wrapping).seal(packed, purpose)
        return unit.house.seal.seal(packed, purpose)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Opens the data keys of one object. `wrapping` is the customer's or KMS's, empty under SSE-S3."""

    sealer: Sealer
    bucket: str
    object_key: str
    wrapping: bytes

    def open(self, ref: str, sealed: bytes) -> DataKey:
        """The key of the bytes `ref`; raises ValueError if the row is not as it was written."""
        purpose = _purpose(self.bucket, self.object_key, ref)
        packed = self.sealer.open(sealed, purpose)
        return unpack(Sealer(self.wrapping).open(packed, purpose) if self.wrapping else packed)


def _purpose(bucket: str, object_key: str, ref: str) -> str:
    name = object_key.encode("utf-8", "backslashreplace").decode()
    return f"s3.data-key\0{bucket}\0{name}\0{ref}"


def new_envelope(call: Call) -> Envelope | None:
    """A new data key for bytes that the call takes in; None when they are to lie in the clear."""
    protection = call.stash.get(STASH)
    if not isinstance(protection, Protection):
        return None
    return Envelope(new_data_key(twice=protection.sse == DSSE), protection)


def renewed(call: Call, envelope: Envelope | None) -> Envelope | None:
    """The envelope of bytes that an earlier walk of the call took in, to be sealed as this walk has it."""
    protection = call.stash.get(STASH)
    if envelope is None or not isinstance(protection, Protection):
        return envelope
    return Envelope(envelope.key, protection)


# What a write asks for


def protected(call: Call, unit: Unit, bucket: Bucket, template: ObjectVersion) -> ObjectVersion:
    """The template of a new object with the encryption that its request, or else its bucket, asks for."""
    protection = call.stash.get(STASH)
    if not isinstance(protection, Protection):
        protection = call.stash[STASH] = _asked(call, unit, bucket, template.key)
    elif protection.wrapper is not None:  # walked again: what KMS did for the call before is forgotten with the unit
        wrapper, wrapping = new_wrapper(call, unit, bucket, template.key, protection.sse)
        protection = call.stash[STASH] = Protection(
            protection.sse, protection.default, wrapping=wrapping, wrapper=wrapper
        )
    return covered(template, protection)


def covered(version: ObjectVersion, protection: Protection) -> ObjectVersion:
    """The row of an object that lies under this protection."""
    kept = replace(version, sse=protection.sse, sse_default=protection.default, customer_mark=protection.mark)
    wrapper = protection.wrapper
    if wrapper is None:
        return kept
    return replace(
        kept, sse_key=wrapper.arn, bucket_key=wrapper.bucket_key, wrapped_key=wrapper.blob, sse_context=wrapper.context
    )


def _asked(call: Call, unit: Unit, bucket: Bucket, key: str) -> Protection:
    given = call.input
    algorithm = given.get("ServerSideEncryption")
    if algorithm not in (None, SSE_S3) and algorithm not in KMS_ALGORITHMS:
        raise _wrong("The encryption method specified is not supported", algorithm)
    if algorithm not in KMS_ALGORITHMS and any(member in given for member in KMS_MEMBERS):
        message = "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : "
        raise _wrong(message + "aws:kms", algorithm or "null")
    secret = requested_key(call)
    if secret is not None:
        if algorithm is not None:
            message = "Server Side Encryption with Customer provided key is incompatible with the encryption method "
            raise _wrong(message + "specified", algorithm)
        mark = new_mark(secret)
        return Protection(mark=mark, wrapping=wrapping_key(secret, mark))
    wanted = algorithm or bucket.encryption
    if wanted not in KMS_ALGORITHMS:
        return Protection(wanted, default=algorithm is None)
    wrapper, wrapping = new_wrapper(call, unit, bucket, key, wanted)
    return Protection(wanted, default=algorithm is None, wrapping=wrapping, wrapper=wrapper)


def first_encryption(unit: Unit) -> str:
    """The default encryption of a bucket that was given none."""
    return SSE_S3 if unit.house.settings.encrypt_buckets else ""


def not_implemented(member: str) -> AwsError:
    message = "A header you provided implies functionality that is not implemented"
    return AwsError("NotImplemented", message, 501, Header=member)


def _wrong(message: str, value: str) -> AwsError:
    return AwsError("InvalidArgument", message, 400, ArgumentName=HEADER, ArgumentValue=value)


def wrapper_of(version: ObjectVersion) -> Wrapper:
    """What the data keys of an object under KMS are wrapped with."""
    return Wrapper(version.sse_key, version.wrapped_key, version.sse_context, version.bucket_key)


def protect_part(call: Call, unit: Unit, upload: Upload, region: str) -> None:
    """Have the part that the call brings encrypted as its upload asked for; a customer's key must come with every part."""
    template, secret = upload.template, requested_key(call)
    if not template.customer_mark:
        if secret is not None:
            message = "The multipart upload initiate did not request encryption. Please resend the request without "
            raise AwsError("InvalidRequest", message + "sending encryption parameters.", 400)
        if template.wrapped_key:
            wrapper = wrapper_of(template)
            wrapping = unwrapped(call, unit, Place(region, upload.bucket, template.key), wrapper)
            call.stash[STASH] = Protection(template.sse, template.sse_default, wrapping=wrapping, wrapper=wrapper)
        elif template.sse:
            call.stash[STASH] = Protection(template.sse, template.sse_default)
        return
    if secret is None:
        message = "The multipart upload initiate requested encryption. Subsequent part requests must include the "
        raise AwsError("InvalidRequest", message + "appropriate encryption parameters.", 400)
    if not fits(secret, template.customer_mark):
        message = "The provided encryption parameters did not match the ones used originally."
        raise AwsError("InvalidArgument", message, 400, ArgumentName=HEADER)
    mark = template.customer_mark
    call.stash[STASH] = Protection(mark=mark, wrapping=wrapping_key(secret, mark))


def show_written(call: Call, version: ObjectVersion, output: Shape) -> None:
    """What a write tells its caller, and the record (`SSEApplied`), of the encryption of what it wrote."""
    if version.customer_mark:
        call.evidence.additional["SSEApplied"] = "SSE_C"
        if "SSECustomerKeyMD5" in call.input:
            output["SSECustomerAlgorithm"] = call.input["SSECustomerAlgorithm"]
            output["SSECustomerKeyMD5"] = call.input["SSECustomerKeyMD5"]
    elif version.sse:
        applied = APPLIED[version.sse]
        call.evidence.additional["SSEApplied"] = f"Default_{applied}" if version.sse_default else applied
        show_kind(version, output)
        if "SSEKMSEncryptionContext" in call.input and version.wrapped_key:
            output["SSEKMSEncryptionContext"] = call.input["SSEKMSEncryptionContext"]


def show_kind(version: ObjectVersion, output: Shape) -> None:
    """The kind of encryption and the key, as writes and reads tell them."""
    output["ServerSideEncryption"] = version.sse
    if version.sse_key:
        output["SSEKMSKeyId"] = version.sse_key
        if version.bucket_key:
            output["BucketKeyEnabled"] = True


# Who may read


def opening(call: Call, unit: Unit, bucket: Bucket, key: str, version: ObjectVersion, prefix: str = "") -> bytes:
    """What the data keys of an object are wrapped with: the customer's, or KMS's if the caller may decrypt; or empty.

    Raises what `check_reader` does, and S3's errors for KMS's refusals."""
    wrapping = check_reader(call, version, prefix)
    if not version.wrapped_key:
        return wrapping
    return unwrapped(call, unit, Place(bucket.region, bucket.name, key), wrapper_of(version))


def check_reader(call: Call, version: ObjectVersion, prefix: str = "") -> bytes:
    """The wrapping key of an SSE-C object, empty for others. `prefix` as for `requested_key`.

    Raises InvalidRequest for a key that is missing or not applicable, AccessDenied for a wrong one."""
    secret = requested_key(call, prefix)
    if not version.customer_mark:
        if secret is not None:
            message = "The encryption parameters are not applicable to this object."
            raise AwsError("InvalidRequest", message, 400)
        return b""
    if secret is None:
        message = "The object was stored using a form of Server Side Encryption. The correct parameters must be "
        raise AwsError("InvalidRequest", message + "provided to retrieve the object.", 400)
    if not fits(secret, version.customer_mark):
        raise AwsError("AccessDenied", "Access Denied", 403)
    return wrapping_key(secret, version.customer_mark)


def key_ring(unit: Unit, bucket: Bucket, key: str, wrapping: bytes) -> KeyRing:
    """`key` is the one asked for: a row that lies in another's place does not open."""
    return KeyRing(unit.house.seal, bucket.name, key, wrapping)


def refuse_on_read(call: Call) -> None:
    """The header of SSE-S3 asks something of a write; on a read S3 refuses it."""
    message = "x-amz-server-side-encryption header is not supported for this operation."
    raise _wrong(message, call.request.headers[HEADER])
