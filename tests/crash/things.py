"""Things that clients change: objects, policies, rules. Each has one owner, so what it must be is always known.

A thing that was being changed when the server died may be as before or as intended, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from random import Random
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from tests.crash.book import Book

BUCKET = "crash-data"
SMALL_MAX = 4_000
LARGE_MAX = 1_500_000
PART = 5 * 1024 * 1024
ABSENT = frozenset({"NoSuchKey", "NoSuchEntity", "ResourceNotFoundException", "404"})


class Hands:
    """The boto3 clients of one thread, and the book they write into."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.s3, self.iam, self.events = (book.client(name) for name in ("s3", "iam", "events"))


class Thing:
    """One thing: the value it was last known to have (None: absent) and, while in doubt, the intended one."""

    kind: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.name = name
        self.value: str | None = None
        self.intended: str | None = None
        self.in_doubt = False

    def change(self, hands: Hands, random: Random) -> None:
        """Give it another value, or take it away. Raises what the client raises, and is then in doubt."""
        if self.value is not None and random.random() < 0.25:
            self._intend(None)
            self.remove(hands)
        else:
            self.give(hands, random)
        self.value, self.in_doubt = self.intended, False

    def unchanged(self) -> None:
        """The server said that it did not happen."""
        self.in_doubt = False

    def settle(self, hands: Hands) -> str:
        """Look; what is wrong with it, or nothing. What is found counts from now on."""
        found = self.look(hands)
        allowed = {self.value, self.intended} if self.in_doubt else {self.value}
        self.in_doubt = False
        expected, self.value = self.value, found
        if found in allowed:
            return ""
        return f"{self.kind} {self.name} is {found}; acknowledged was {expected}, allowed {allowed}"

    def look(self, hands: Hands) -> str | None:
        try:
            return self.read(hands)
        except ClientError as error:
            if error.response["Error"]["Code"] in ABSENT:
                return None
            raise

    def _intend(self, value: str | None) -> None:
        self.intended, self.in_doubt = value, True

    def give(self, hands: Hands, random: Random) -> None:
        raise NotImplementedError

    def remove(self, hands: Hands) -> None:
        raise NotImplementedError

    def read(self, hands: Hands) -> str:
        raise NotImplementedError


class StoredObject(Thing):
    """An object; its value is the hash of its bytes."""

    kind = "object"

    def give(self, hands: Hands, random: Random) -> None:
        way = random.random()
        if way < 0.04:
            self._upload_parts(hands, random)
            return
        data = random.randbytes(random.randint(0, SMALL_MAX if way < 0.85 else LARGE_MAX))
        self._intend(_hash(data))
        hands.s3.put_object(Bucket=BUCKET, Key=self.name, Body=data)

    def _upload_parts(self, hands: Hands, random: Random) -> None:
        parts = [random.randbytes(PART), random.randbytes(random.randint(1, LARGE_MAX))]
        self._intend(_hash(b"".join(parts)))
        place = {"Bucket": BUCKET, "Key": self.name}
        place["UploadId"] = hands.s3.create_multipart_upload(**place)["UploadId"]
        done = [
            {"PartNumber": number, "ETag": hands.s3.upload_part(**place, PartNumber=number, Body=part)["ETag"]}
            for number, part in enumerate(parts, 1)
        ]
        hands.s3.complete_multipart_upload(**place, MultipartUpload={"Parts": done})

    def remove(self, hands: Hands) -> None:
        hands.s3.delete_object(Bucket=BUCKET, Key=self.name)

    def read(self, hands: Hands) -> str:
        return _hash(hands.book.get_object(hands.s3, BUCKET, self.name)["Content"])


class UserPolicy(Thing):
    """An inline policy of the user `crash`; its value is a statement id."""

    kind = "policy"

    def give(self, hands: Hands, random: Random) -> None:
        self._intend(f"Sid{random.getrandbits(64)}")
        statement = {"Sid": self.intended, "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        hands.iam.put_user_policy(UserName="crash", PolicyName=self.name, PolicyDocument=document)

    def remove(self, hands: Hands) -> None:
        hands.iam.delete_user_policy(UserName="crash", PolicyName=self.name)

    def read(self, hands: Hands) -> str:
        document = hands.iam.get_user_policy(UserName="crash", PolicyName=self.name)["PolicyDocument"]
        return str(document["Statement"][0]["Sid"])


class EventRule(Thing):
    """An EventBridge rule; its value is its description."""

    kind = "rule"

    def give(self, hands: Hands, random: Random) -> None:
        self._intend(f"number {random.getrandbits(64)}")
        pattern = json.dumps({"source": [f"crash.{self.name}"]})
        hands.events.put_rule(Name=self.name, EventPattern=pattern, Description=self.intended)

    def remove(self, hands: Hands) -> None:
        hands.events.delete_rule(Name=self.name)

    def read(self, hands: Hands) -> str:
        answer: dict[str, Any] = hands.events.describe_rule(Name=self.name)
        return str(answer["Description"])


def things_of(owner: int) -> list[Thing]:
    """What one client changes."""
    objects: list[Thing] = [StoredObject(f"client-{owner}/object-{number:02}") for number in range(24)]
    policies = [UserPolicy(f"policy-{owner}-{number}") for number in range(3)]
    return [*objects, *policies, *(EventRule(f"rule-{owner}-{number}") for number in range(3))]


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:24]
