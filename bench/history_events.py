"""Events by the million, as varied as an account's: a few names and users that do most of it, and a long tail.

Records are written as text, since that is what an import reads; nothing here knows how a history keeps them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

ACCOUNTS = ("111122223333", "444455556666", "777788889999")
REGIONS = ("us-east-1", "eu-west-1", "us-west-2", "ap-southeast-2")
SERVICES = ("ec2", "iam", "sts", "kms", "logs", "lambda", "dynamodb", "ssm", "ecs", "rds", "sqs", "sns", "s3", "glue")
VERBS = ("Describe", "Get", "List", "Create", "Delete", "Update", "Put", "Assume", "Tag", "Start", "Stop", "Run")
NOUNS = ("Instances", "Role", "Key", "Parameter", "Table", "Function", "Cluster", "Volume", "Stream", "Policy", "Subnets",
         "Alarms", "Queue", "Topic", "Snapshot", "Bucket", "Secret", "Grant", "Tags", "Task", "Image", "Vpcs")  # fmt: skip
DATA_SHARE = 0.3
ERROR_SHARE = 0.04
AGENTS = (
    "aws-cli/2.15.30 Python/3.11.8 Linux/5.10.205-195.807.amzn2.x86_64 exe/x86_64.amzn.2 prompt/off command/ec2.run",
    "Boto3/1.34.69 md/Botocore#1.34.69 ua/2.0 os/linux#6.1.79 md/arch#x86_64 lang/python#3.11.8 cfg/retry-mode#legacy",
    "aws-sdk-go-v2/1.25.2 os/linux lang/go#1.22.1 md/GOOS#linux md/GOARCH#amd64 api/sts#1.28.4",
    "[AWSConfig]",
    "APN/1.0 HashiCorp/1.0 Terraform/1.7.4 (+https://www.terraform.io) terraform-provider-aws/5.41.0",
)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who does what to what. The first of each list are the busiest."""

    names: list[tuple[str, str]]
    """(event source, event name)."""
    users: list[str]
    buckets: list[str]
    ips: list[str]


def cast(seed: int = 1) -> Cast:
    """The same for every process that fills one history."""
    rng = random.Random(seed)
    names = [(f"{service}.amazonaws.com", verb + noun) for service in SERVICES for verb in VERBS for noun in NOUNS]
    rng.shuffle(names)
    return Cast(
        names=names[:600],
        users=[f"user-{n}" for n in range(2_000)],
        buckets=[f"bucket-{n}-{rng.getrandbits(32):08x}" for n in range(300)],
        ips=[f"{rng.randrange(1, 224)}.{rng.randrange(256)}.{rng.randrange(256)}.{n % 256}" for n in range(5_000)],
    )


def events(people: Cast, seed: int, start: float, seconds: float, count: int) -> Iterator[bytes]:
    """`count` records spread over a time, roughly in order: some come minutes late, as from other regions."""
    rng = random.Random(seed)
    step = seconds / count
    for n in range(count):
        late = rng.random() * 600 if rng.random() < 0.1 else 0.0
        moment = datetime.fromtimestamp(start + n * step - late, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        yield (_data if rng.random() < DATA_SHARE else _management)(rng, people, moment)


def few(rng: random.Random, size: int) -> int:
    """An index that is small most of the time."""
    return int(size * rng.random() ** 4)


def event_id(rng: random.Random) -> str:
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def _identity(rng: random.Random, people: Cast, account: str) -> str:
    name = people.users[few(rng, len(people.users))]
    if rng.random() < 0.4:
        return (
            f'"userIdentity":{{"type":"IAMUser","principalId":"AIDA{name.upper():0>17}",'
            f'"arn":"arn:aws:iam::{account}:user/{name}","accountId":"{account}","accessKeyId":"AKIA{name.upper():0>16}",'
            f'"userName":"{name}"}}'
        )
    role, key = f"role-{name[-1]}{len(name)}", f"ASIA{rng.getrandbits(20):016X}"
    return (
        f'"userIdentity":{{"type":"AssumedRole","principalId":"AROAEXAMPLE{role}:{name}",'
        f'"arn":"arn:aws:sts::{account}:assumed-role/{role}/{name}","accountId":"{account}","accessKeyId":"{key}",'
        f'"sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROAEXAMPLE{role}",'
        f'"arn":"arn:aws:iam::{account}:role/{role}","accountId":"{account}","userName":"{role}"}},'
        f'"attributes":{{"creationDate":"2026-11-01T00:00:00Z","mfaAuthenticated":"false"}}}}}}'
    )


def _record(rng: random.Random, people: Cast, moment: str, source: str, name: str, middle: str, end: str) -> bytes:
    account, region = ACCOUNTS[few(rng, 3)], REGIONS[few(rng, 4)]
    error = '"errorCode":"AccessDenied","errorMessage":"Not authorized",' if rng.random() < ERROR_SHARE else ""
    return (
        f'{{"eventVersion":"1.11",{_identity(rng, people, account)},"eventTime":"{moment}","eventSource":"{source}",'
        f'"eventName":"{name}","awsRegion":"{region}","sourceIPAddress":"{people.ips[few(rng, 5_000)]}",'
        f'"userAgent":"{AGENTS[few(rng, len(AGENTS))]}",{error}{middle},"requestID":"{event_id(rng)}",'
        f'"eventID":"{event_id(rng)}","readOnly":{"true" if name[:3] in ("Get", "Lis", "Des") else "false"},'
        f'"eventType":"AwsApiCall",{end},"recipientAccountId":"{account}","tlsDetails":{{"tlsVersion":"TLSv1.3",'
        f'"cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"{source}"}}}}'
    ).encode()


def _management(rng: random.Random, people: Cast, moment: str) -> bytes:
    source, name = people.names[few(rng, len(people.names))]
    if source == "iam.amazonaws.com":
        member = f'"userName":"{people.users[few(rng, len(people.users))]}"'
    elif source == "s3.amazonaws.com":
        member = f'"bucketName":"{people.buckets[few(rng, len(people.buckets))]}"'
    else:
        member = f'"instancesSet":{{"items":[{{"instanceId":"i-{rng.getrandbits(40):017x}"}}]}}'
    middle = f'"requestParameters":{{{member}}},"responseElements":{{"_return":true}}'
    return _record(rng, people, moment, source, name, middle, '"managementEvent":true,"eventCategory":"Management"')


def _data(rng: random.Random, people: Cast, moment: str) -> bytes:
    bucket = people.buckets[few(rng, len(people.buckets))]
    key = f"{moment[:10]}/part-{rng.getrandbits(26)}.parquet"
    middle = (
        f'"requestParameters":{{"bucketName":"{bucket}","Host":"{bucket}.s3.amazonaws.com","key":"{key}"}},'
        f'"responseElements":null,"additionalEventData":{{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256",'
        f'"bytesTransferredIn":0,"AuthenticationMethod":"AuthHeader","bytesTransferredOut":{rng.getrandbits(20)}}},'
        f'"resources":[{{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::{bucket}/{key}"}},'
        f'{{"accountId":"111122223333","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::{bucket}"}}]'
    )
    name = "GetObject" if rng.random() < 0.8 else "PutObject"
    return _record(
        rng, people, moment, "s3.amazonaws.com", name, middle, '"managementEvent":false,"eventCategory":"Data"'
    )
