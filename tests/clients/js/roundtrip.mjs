// The AWS SDK for JavaScript against a server: objects, a multipart upload, listing, a query, an error. Its arguments: a
// bucket's name. Endpoint, region and key come from the environment. Ends with status 0 if everything is as it should be.

import assert from "node:assert/strict";
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  SelectObjectContentCommand,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";

const Bucket = process.argv[2];
const s3 = new S3Client({ forcePathStyle: true, maxAttempts: 1 });

await s3.send(new CreateBucketCommand({ Bucket }));
await s3.send(new PutObjectCommand({ Bucket, Key: "ä b/+&.txt", Body: "text", Metadata: { a: "1" }, ContentType: "text/plain" }));
const got = await s3.send(new GetObjectCommand({ Bucket, Key: "ä b/+&.txt" }));
assert.equal(await got.Body.transformToString(), "text");
assert.deepEqual([got.Metadata, got.ContentType], [{ a: "1" }, "text/plain"]);

const large = Buffer.alloc(12 * 1024 * 1024, "0123456789abcdef\n");
const upload = new Upload({ client: s3, params: { Bucket, Key: "large", Body: large }, partSize: 5 * 1024 * 1024 });
const done = await upload.done();
assert.match(done.ETag, /-3"$/);
const head = await s3.send(new HeadObjectCommand({ Bucket, Key: "large" }));
assert.equal(head.ContentLength, large.length);
const part = await s3.send(new GetObjectCommand({ Bucket, Key: "large", Range: "bytes=5242870-5242889" }));
assert.equal(await part.Body.transformToString(), large.subarray(5242870, 5242890).toString());
const whole = await s3.send(new GetObjectCommand({ Bucket, Key: "large" }));
assert.ok(large.equals(Buffer.from(await whole.Body.transformToByteArray())));

await s3.send(new PutObjectCommand({ Bucket, Key: "table.csv", Body: "id,name\n1,ann\n2,bob\n" }));
const keys = [];
for await (const page of paginateListObjectsV2({ client: s3, pageSize: 2 }, { Bucket })) {
  keys.push(...page.Contents.map((each) => each.Key));
}
assert.deepEqual(keys, ["large", "table.csv", "ä b/+&.txt"]);
const listed = await s3.send(new ListObjectsV2Command({ Bucket, Delimiter: "/" }));
assert.deepEqual(listed.CommonPrefixes, [{ Prefix: "ä b/" }]);

const answer = await s3.send(
  new SelectObjectContentCommand({
    Bucket,
    Key: "table.csv",
    ExpressionType: "SQL",
    Expression: "SELECT s.name FROM S3Object s WHERE s.id > 1",
    InputSerialization: { CSV: { FileHeaderInfo: "USE" } },
    OutputSerialization: { JSON: {} },
  }),
);
const events = [];
for await (const event of answer.Payload) events.push(event);
const records = events.filter((each) => each.Records).map((each) => Buffer.from(each.Records.Payload).toString());
assert.equal(records.join(""), '{"name":"bob"}\n');
assert.ok(events.some((each) => each.Stats?.Details.BytesScanned === 20n || each.Stats?.Details.BytesScanned === 20));
assert.ok(events.at(-1).End);

await assert.rejects(s3.send(new GetObjectCommand({ Bucket, Key: "nothing" })), { name: "NoSuchKey" });
const Objects = keys.map((Key) => ({ Key }));
const deleted = await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
assert.equal(deleted.Deleted.length, 3);
await s3.send(new DeleteBucketCommand({ Bucket }));
console.log("done");
