import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";

import { type Clock, createSystemClock } from "../../src/lib/clock.ts";
import type { FileStore, OpenedFile } from "../../src/lib/file-store.ts";
import { systemFiles } from "../../src/lib/file-system.ts";
import { createObjects } from "../../src/lib/s3/objects.ts";
import { type Bucket, createSender } from "../../src/lib/s3/requests.ts";
import { createS3Store } from "../../src/lib/s3/s3-store.ts";
import { refusal, startMoto } from "../support/moto.ts";
import { temporaryFolder } from "../support/process.ts";
import { moto } from "../support/tools.ts";

const BY = { owner: "test", mark: "1" };
const MB = 1024 * 1024;

async function* once(...pieces: (string | Uint8Array)[]) {
  yield* pieces;
}

async function read({ bytes, content }: OpenedFile, part = { first: 0, last: bytes - 1 }) {
  if ("blob" in content) throw new Error("a file of a bucket is no file of the disk");
  const pieces: Uint8Array[] = [];
  for await (const piece of content.read(part)) pieces.push(piece.slice());
  return Buffer.concat(pieces);
}

describe.if(moto !== undefined)("a bucket as the store of files", () => {
  let server: Awaited<ReturnType<typeof startMoto>>;
  let folder: ReturnType<typeof temporaryFolder>;
  let store: FileStore;

  function open(changes: Partial<Bucket> = {}, sleep: Clock["sleep"] = async () => {}): FileStore {
    return createS3Store({
      bucket: {
        endpoint: server.url,
        region: "us-east-1",
        bucket: "bucket",
        prefix: "a b/ü+&/",
        accessKeyId: "id",
        secretAccessKey: "secret",
        ...changes,
      },
      root: folder.path,
      maxFileBytes: MB,
      machine: { clock: { ...createSystemClock(), sleep }, random: Math.random, fetch },
      local: { files: systemFiles, unfinished: new Set() },
      by: () => BY,
    });
  }

  beforeAll(async () => {
    server = await startMoto();
    folder = temporaryFolder();
    store = open();
  });
  beforeEach(() => {
    server.state.meddle = undefined;
    server.state.requests = [];
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  test("its uploads are listed page by page, and nothing else is", async () => {
    const before = Date.now() - 1000;
    for (const id of ["file-1", "file-2", "file-3"])
      await store.write({ upload: id }, BY, once("x"));
    await store.write({ path: "uploads.csv" }, BY, once("x"));
    const found = (await Array.fromAsync(store.uploads())).flat();
    expect(found.map(({ id }) => id)).toEqual(["file-1", "file-2", "file-3"]);
    for (const { changedAt } of found) expect(changedAt).toBeGreaterThanOrEqual(before - 1000);
    const bucket = { endpoint: server.url, region: "us-east-1", bucket: "bucket", prefix: "" };
    const keys = { accessKeyId: "id", secretAccessKey: "secret" };
    const machine = { clock: createSystemClock(), random: Math.random, fetch };
    const objects = createObjects(createSender({ ...bucket, ...keys }, machine));
    const pages = await Array.fromAsync(objects.list("a b/ü+&/.uploads/", 2));
    expect(pages.map((page) => page.map(({ key }) => key.at(-1)))).toEqual([["1", "2"], ["3"]]);
    for (const { id } of found) await store.remove({ upload: id });
    expect((await Array.fromAsync(store.uploads())).flat()).toEqual([]);
  });

  test.each([
    "plain.csv",
    "with space+plus & percent %41.csv",
    "日本/ü\u0301'()*!~.csv",
    "a//b/../c.csv",
    '<q>"x".csv',
  ])("takes and gives a file called %p", async (path) => {
    await store.write({ path }, BY, once("some ", "text"));
    const opened = await store.open({ path });
    expect(opened?.bytes).toBe(9);
    expect(String(await read(opened!))).toBe("some text");
    await store.remove({ path });
    expect(await store.open({ path })).toBeUndefined();
    await store.remove({ path });
  });

  test.each([0, 1, 5 * MB - 1, 5 * MB, 5 * MB + 1, 11 * MB])("keeps %p bytes", async (size) => {
    const bytes = Buffer.alloc(size, "0123456789abcdef!");
    const pieces = Array.from({ length: Math.ceil(size / 70_001) }, (_, i) =>
      bytes.subarray(i * 70_001, (i + 1) * 70_001),
    );
    await store.write({ upload: "file-1" }, BY, once(...pieces));
    const opened = await store.open({ upload: "file-1" });
    expect(opened?.bytes).toBe(size);
    expect(bytes.equals(await read(opened!))).toBe(true);
    const parts = server.state.requests.filter((line) => line.includes("partNumber="));
    expect(parts).toHaveLength(size > 5 * MB ? Math.ceil(size / (5 * MB)) : 0);
    if (size > 2) {
      const part = { first: 1, last: size - 2 };
      expect(bytes.subarray(1, -1).equals(await read(opened!, part))).toBe(true);
    }
    const copy = await store.toDisk({ upload: "file-1" });
    expect(bytes.equals(readFileSync(copy!.path))).toBe(true);
    await copy!.release();
    expect(await systemFiles.kindOf(copy!.path)).toBeUndefined();
  });

  test("shows nothing of an incomplete file, and leaves no parts", async () => {
    await store.write({ path: "old.csv" }, BY, once("old"));
    async function* broken() {
      yield Buffer.alloc(6 * MB);
      yield Buffer.alloc(6 * MB);
      throw new Error("the client has left");
    }
    expect(store.write({ path: "old.csv" }, BY, broken())).rejects.toThrow("the client has left");
    await Bun.sleep(0);
    expect(String(await read((await store.open({ path: "old.csv" }))!))).toBe("old");
    expect(await server.unfinished()).toEqual([]);
  });

  test("returns one version of a file or none", async () => {
    await store.write({ path: "v.csv" }, BY, once("first"));
    const first = await store.open({ path: "v.csv" });
    await store.write({ path: "v.csv" }, BY, once("other"));
    expect(read(first!)).rejects.toThrow("replaced or removed while it was read");
    const second = await store.open({ path: "v.csv" });
    expect(second?.version).not.toBe(first!.version);
    await store.remove({ path: "v.csv" });
    expect(read(second!)).rejects.toThrow("replaced or removed while it was read");
  });

  test("aborts the uploads of a killed writer for a file, and not those of names with the same prefix", async () => {
    const begin = (key: string) =>
      fetch(
        `${server.url}/bucket/${["a b", "ü+&", key].map(encodeURIComponent).join("/")}?uploads`,
        {
          method: "POST",
        },
      );
    await begin("out.csv");
    await begin("out.csv.csv");
    expect(await server.unfinished()).toHaveLength(2);
    await store.removeLeft({ path: "out.csv" }, BY);
    expect(await server.unfinished()).toHaveLength(1);
    await store.removeLeft({ path: "out.csv.csv" }, BY);
    expect(await server.unfinished()).toEqual([]);
    server.state.meddle = () => refusal(403, "AccessDenied");
    await store.removeLeft({ path: "out.csv" }, BY);
  });

  test("removes multipart uploads that were started more than a day ago", async () => {
    const begun = (key: string, hours: number) =>
      `<Upload><Key>a+b%2F%C3%BC%2B%26%2F${key}</Key><UploadId>${key}&amp;</UploadId>` +
      `<Initiated>${new Date(Date.now() - hours * 3_600_000).toISOString()}</Initiated></Upload>`;
    const list = `<R><EncodingType>url</EncodingType>${begun("old", 25)}${begun("new", 23)}</R>`;
    server.state.meddle = ({ method }) =>
      method === "GET" ? new Response(list) : new Response(null, { status: 204 });
    await store.sweep();
    const aborted = server.state.requests.filter((line) => line.startsWith("DELETE"));
    expect(aborted).toEqual(["DELETE /bucket/a%20b/%C3%BC%2B%26/old?uploadId=old%26"]);
  });

  test("has one id for all processes", async () => {
    const ids = await Promise.all(
      ["store-1", "store-2", "store-3"].map((id) => open().identify(id, BY)),
    );
    expect(new Set(ids).size).toBe(1);
    expect(await open().identify("store-4", BY)).toBe(ids[0]!);
    expect(await open({ prefix: "other/" }).identify("store-4", BY)).toBe("store-4");
  });

  test("retries temporary errors with backoff, and does not retry permanent ones", async () => {
    const pauses: number[] = [];
    const patient = open({}, async (ms) => void pauses.push(ms));
    let refusals = 3;
    server.state.meddle = () => (refusals-- > 0 ? refusal(503, "SlowDown") : undefined);
    await patient.write({ path: "t.csv" }, BY, once("x"));
    expect(pauses).toHaveLength(3);

    refusals = 100;
    expect(patient.write({ path: "t.csv" }, BY, once("x"))).rejects.toMatchObject({
      isPassing: true,
      code: "SlowDown",
    });
    await until(() => refusals === 95);
    server.state.requests = [];
    server.state.meddle = () => refusal(403, "AccessDenied");
    expect(patient.write({ path: "t.csv" }, BY, once("x"))).rejects.toMatchObject({
      isPassing: false,
      code: "AccessDenied",
    });
    await until(() => server.state.requests.length > 0);
    await Bun.sleep(20);
    expect(server.state.requests).toHaveLength(1);
  });

  test("recognises an error in an answer with a success status", async () => {
    server.state.meddle = ({ method, url }) =>
      method === "POST" && url.includes("uploadId=") ? refusal(200, "InternalError") : undefined;
    const big = Buffer.alloc(6 * MB);
    expect(store.write({ path: "late.csv" }, BY, once(big, big))).rejects.toThrow("InternalError");
    await until(async () => (await server.unfinished()).length === 0);
    server.state.meddle = undefined;
    expect(await store.open({ path: "late.csv" })).toBeUndefined();
  });

  test.each([
    [403, "InvalidAccessKeyId", "does not know S3_ACCESS_KEY_ID"],
    [403, "SignatureDoesNotMatch", "S3_SECRET_ACCESS_KEY is not that of"],
    [403, "AccessDenied", "the credentials may not do this in the bucket bucket"],
    [403, "RequestTimeTooSkewed", "the clock of this machine"],
    [301, "PermanentRedirect", "in another region than us-east-1 (S3_REGION)"],
    [404, "NoSuchBucket", "the bucket bucket does not exist"],
  ])("says what %p %p means, and nothing secret", async (status, code, words) => {
    server.state.meddle = () => refusal(status, code);
    const error = await store.identify("store-1", BY).catch((error: unknown) => error);
    expect(String(error)).toContain(words);
    expect(String(error)).toContain(code);
    expect(Bun.inspect(error)).not.toContain("secret");
  });

  test.each(["../x.csv", "/etc/passwd", "s3://bucket/x.csv", "a\0b", "x".repeat(1100)])(
    "refuses the path %p",
    async (path) => {
      expect(store.open({ path })).rejects.toMatchObject({ name: "PathError" });
      const refused = store.write({ path: ".Uploads/x" }, BY, once());
      expect(refused).rejects.toMatchObject({ name: "PathError" });
    },
  );
});

async function until(is: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await is())) await Bun.sleep(2);
}
