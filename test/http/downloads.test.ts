import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

import { systemFiles } from "../../src/lib/file-system.ts";
import { writtenBy } from "../../src/services/written-by.ts";
import { temporaryFolder } from "../support/process.ts";
import { KEY, startServer, type TestServer, until } from "../support/server.ts";

const TEXT = "prompt\n" + Array.from({ length: 500 }, (_, i) => `line ${i}\n`).join("");

async function upload(app: TestServer, name = "a.csv", text = TEXT) {
  const form = new FormData();
  form.append("file", new Blob([text]), name);
  const answer = await fetch(`${app.url}/api/v1/files`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}` },
    body: form,
  });
  return { status: answer.status, body: await answer.json() };
}

/** Fetches the raw bytes, without decompression. */
async function raw(app: TestServer, path: string, headers: Record<string, string> = {}) {
  const answer = await fetch(`${app.url}/api/v1${path}`, {
    headers: { authorization: `Bearer ${KEY}`, ...headers },
    decompress: false,
  });
  const bytes = Buffer.from(await answer.arrayBuffer());
  return { status: answer.status, headers: answer.headers, bytes, text: bytes.toString() };
}

async function givenResults(app: TestServer) {
  await app.post("/batches", {
    id: "b",
    tasks: Array.from({ length: 40 }, (_, i) => ({ prompt: `Say ${i}` })),
  });
  await app.post("/batches/b/execute");
  await app.finished("b");
}

const LONG = "/batches/long/results?format=jsonl";

/** Results of more than a megabyte. */
async function givenLongResults(app: TestServer): Promise<Buffer> {
  const text = "x".repeat(100_000);
  const tasks = Array.from({ length: 12 }, () => ({ prompt: "a", metadata: { text } }));
  await app.post("/batches", { id: "long", tasks });
  await app.post("/batches/long/execute");
  await app.finished("long");
  const { bytes } = await raw(app, LONG, { "accept-encoding": "identity" });
  expect(bytes.length).toBeGreaterThan(1024 * 1024);
  return bytes;
}

type Disk = { free: number; isFull: boolean; hold: Promise<void> | undefined };

/** The files of this machine on a disk that is as reported; parts of downloads are written when `hold` resolves. */
function filesOn(disk: Disk) {
  return {
    ...systemFiles,
    space: async () => ({ free: disk.free, total: 1e12 }),
    create: async (path: string) => {
      const file = await systemFiles.create(path);
      if (!path.includes(".part-")) return file;
      return {
        ...file,
        write: async (piece: string | Uint8Array) => {
          await disk.hold;
          if (disk.isFull) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
          await file.write(piece);
        },
      };
    },
  };
}

const partsIn = (folder: string) => readdirSync(folder).filter((name) => name.startsWith(".part-"));

describe("a download", () => {
  test("of a file or of results supports ranges, from any byte on", async () => {
    await using app = await startServer();
    const { id } = (await upload(app)).body.data;
    await givenResults(app);
    for (const path of [`/files/${id}/content`, "/batches/b/results?format=jsonl"]) {
      const whole = await raw(app, path, { "accept-encoding": "identity" });
      if (path.startsWith("/files"))
        expect(whole.headers.get("content-length")).toBe(String(whole.bytes.length));
      expect([whole.status, whole.headers.get("accept-ranges")]).toEqual([200, "bytes"]);
      const size = whole.bytes.length;
      const cases: [string, number, number][] = [
        ["bytes=0-99", 0, 99],
        ["bytes=100-", 100, size - 1],
        ["bytes=-50", size - 50, size - 1],
        [`bytes=10-${size + 1000}`, 10, size - 1],
      ];
      for (const [range, first, last] of cases) {
        const part = await raw(app, path, { range });
        expect([range, part.status]).toEqual([range, 206]);
        expect(part.headers.get("content-range")).toBe(`bytes ${first}-${last}/${size}`);
        expect(part.headers.get("content-length")).toBe(String(last - first + 1));
        expect(part.bytes).toEqual(whole.bytes.subarray(first, last + 1));
      }
      const beyond = await raw(app, path, { range: `bytes=${size}-` });
      expect([beyond.status, beyond.headers.get("content-range")]).toEqual([
        416,
        `bytes */${size}`,
      ]);
      for (const range of ["bytes=0-1,5-6", "lines=0-1", "bytes=5-1", "bytes=x"])
        expect((await raw(app, path, { range })).bytes.length).toBe(size);
      const other = await raw(app, path, { range: "bytes=0-9", "if-range": '"other"' });
      expect([other.status, other.bytes.length]).toEqual([200, size]);
      const tag = whole.headers.get("etag") ?? "";
      const same = await raw(app, path, { range: "bytes=0-9", "if-range": tag });
      expect([same.status, same.bytes.length]).toEqual([206, 10]);
    }
  });

  test("whose process is killed leaves nothing after the next start", async () => {
    using folder = temporaryFolder();
    const env = { DATA_DIR: folder.path };
    const { owner } = await (async () => {
      await using app = await startServer(env);
      return writtenBy(app.ctx, "upload");
    })();
    writeFileSync(join(folder.path, `.part-abc.${owner}-def.tmp`), "x");
    writeFileSync(join(folder.path, ".part-abc.someone-def.tmp"), "x");
    await using next = await startServer(env);
    await until(() => partsIn(next.dir).length === 1 || undefined);
    expect(partsIn(folder.path)).toEqual([".part-abc.someone-def.tmp"]);
  });

  test("that the client already has is answered with 304", async () => {
    await using app = await startServer();
    const { id } = (await upload(app)).body.data;
    await givenResults(app);
    for (const path of [`/files/${id}/content`, "/batches/b/results"]) {
      const tag = (await raw(app, path)).headers.get("etag") ?? "";
      const again = await raw(app, path, { "if-none-match": tag });
      expect([again.status, again.bytes.length, again.headers.get("etag")]).toEqual([304, 0, tag]);
    }
    const before = (await raw(app, "/batches/b/results")).headers.get("etag");
    await app.post("/batches", { id: "open", tasks: [{ prompt: "x" }] });
    const open = await raw(app, "/batches/open/results", { range: "bytes=0-9" });
    expect([open.status, open.headers.get("etag")]).toEqual([200, null]);
    expect(before).not.toBeNull();
  });

  test("of results is compressed only on request", async () => {
    await using app = await startServer();
    await givenResults(app);
    const path = "/batches/b/results?format=csv";
    const plain = await raw(app, path, { "accept-encoding": "identity" });
    const small = await raw(app, path, { "accept-encoding": "br, gzip;q=0.8" });
    expect(small.headers.get("content-encoding")).toBe("gzip");
    expect(gunzipSync(small.bytes)).toEqual(plain.bytes);
    expect(small.headers.get("etag")).not.toBe(plain.headers.get("etag"));
    for (const { headers } of [plain, small]) expect(headers.get("vary")).toBe("Accept-Encoding");
    const refused = await raw(app, path, { "accept-encoding": "gzip;q=0" });
    expect(refused.headers.get("content-encoding")).toBeNull();
  });

  test("has its name in plain ASCII and in full, whatever characters it contains", async () => {
    await using app = await startServer();
    const { body } = await upload(app, `d'été (1)*.csv`);
    const { headers } = await raw(app, `/files/${body.data.id}/content`);
    expect(headers.get("content-disposition")).toBe(
      `attachment; filename="d'_t_ (1)*.csv"; filename*=UTF-8''d%27%C3%A9t%C3%A9%20%281%29%2A.csv`,
    );
    const long = await upload(app, `${"x".repeat(252)}.csv`);
    expect([long.status, long.body.error.details.issues[0].path]).toEqual([400, "file"]);
  });
});

describe("a range of results that is too long for memory", () => {
  const disk: Disk = { free: 1e12, isFull: false, hold: undefined };
  let app: TestServer;
  let whole: Buffer;

  beforeAll(async () => {
    app = await startServer({}, { files: filesOn(disk) });
    whole = await givenLongResults(app);
  });
  afterAll(() => app[Symbol.asyncDispose]());

  test("has a length, or none if the disk has no room, and leaves no file behind", async () => {
    const size = whole.length;
    const ask = async (range: string) => {
      const part = await raw(app, LONG, { range });
      expect([part.status, part.headers.get("content-range")]).toEqual([
        206,
        `bytes ${range.slice(6)}${size - 1}/${size}`,
      ]);
      expect(part.bytes.equals(whole.subarray(Number(range.slice(6, -1))))).toBe(true);
      return part.headers.get("content-length");
    };
    expect(await ask("bytes=1-")).toBe(String(size - 1));
    expect(await ask("bytes=5000-")).toBe(String(size - 5000));
    // If the disk has no room for the file, the answer is streamed, and Bun then sends no length.
    disk.free = 1e6;
    expect(await ask("bytes=1-")).toBeNull();
    disk.free = 1e12;
    disk.isFull = true;
    expect(await ask("bytes=1-")).toBeNull();
    disk.isFull = false;
    await until(() => partsIn(app.dir).length === 0 || undefined);
    await until(() => app.ctx.unfinished.size === 0 || undefined);
  });

  test("stops when the client leaves, and only a few are written at a time", async () => {
    const { length } = whole;
    const gate = Promise.withResolvers<void>();
    disk.hold = gate.promise;
    const leaving = new AbortController();
    const headers = { authorization: `Bearer ${KEY}`, range: "bytes=1-" };
    const asked = Array.from({ length: 4 }, () =>
      fetch(`${app.url}/api/v1${LONG}`, { headers, signal: leaving.signal }).catch(() => "left"),
    );
    await until(() => partsIn(app.dir).length === 4 || undefined);
    const fifth = await raw(app, LONG, { range: "bytes=1-" });
    expect([fifth.status, fifth.bytes.length]).toEqual([206, length - 1]);
    expect(fifth.headers.get("content-length")).toBeNull();
    leaving.abort();
    expect(await Promise.all(asked)).toEqual(["left", "left", "left", "left"]);
    gate.resolve();
    await until(() => partsIn(app.dir).length === 0 || undefined);
    await until(() => app.ctx.unfinished.size === 0 || undefined);
    const next = await raw(app, LONG, { range: "bytes=1-" });
    expect(next.headers.get("content-length")).toBe(String(length - 1));
  });
});

test("a single resource has an ETag that changes with it, and is answered with 304 if it did not change", async () => {
  await using app = await startServer();
  const { id: file } = (await upload(app)).body.data;
  await app.post("/tasks", { id: "t", prompt: "x" });
  await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
  const made = async (path: string, body: object) =>
    `${path}/${(await app.post(path, body)).body.data.id}`;
  const hook = { url: "https://example.com/hook", events: ["task.completed"] };
  for (const path of [
    "/tasks/t",
    "/batches/b",
    `/files/${file}`,
    await made("/api-keys", { name: "k" }),
    await made("/webhooks", hook),
    await made("/scheduled-tasks", { name: "s", schedule: "@daily", inputFile: "in.csv" }),
  ]) {
    const { headers } = await app.get(path);
    const tag = headers.get("etag") ?? "";
    expect(tag).toMatch(/^W\/"[0-9a-f]{32}"$/);
    for (const known of [tag, tag.slice(2), `"other", ${tag}`, "*"])
      expect((await app.get(path, { "if-none-match": known })).status).toBe(304);
    expect((await app.get(path, { "if-none-match": '"other"' })).status).toBe(200);
  }
  const before = (await app.get("/tasks/t")).headers.get("etag") ?? "";
  await app.patch("/tasks/t", { prompt: "y" });
  expect((await app.get("/tasks/t", { "if-none-match": before })).status).toBe(200);
});

test("files of the server are readable only for its own user, the database of an earlier version included", async () => {
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, "task-runner.db"), "", { mode: 0o644 });
  await using app = await startServer({ DATA_DIR: folder.path });
  await upload(app);
  await app.post("/batches", {
    id: "b",
    tasks: [{ prompt: "x" }],
    outputFile: "deep/er/out.csv",
  });
  await app.post("/batches/b/execute");
  await app.finished("b");
  await until(async () => {
    const { body } = await app.get("/batches/b");
    return body.data.output?.status === "written" || undefined;
  });
  const names = readdirSync(folder.path, { recursive: true }).map(String);
  expect(names).toContain("task-runner.db-wal");
  for (const name of names) {
    const info = statSync(join(folder.path, name));
    expect([name, info.mode & 0o777]).toEqual([name, info.isDirectory() ? 0o700 : 0o600]);
  }
});
