import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";

import { createClient } from "@libsql/client";

import { refusal, startMoto } from "../support/moto.ts";
import { type RunnerProcess, startProcess, temporaryFolder } from "../support/process.ts";
import { startProvider } from "../support/provider.ts";
import { KEY, type Json, until } from "../support/server.ts";
import { startSqld } from "../support/sqld.ts";
import { deno, moto, sqld } from "../support/tools.ts";

setDefaultTimeout(60_000);

const MB = 1024 * 1024;
const CSV = "city\nParis\nRome\n東京\n";
const CONFIG = { promptTemplate: "{{city}}" };

async function upload(app: RunnerProcess, content: BlobPart, name = "in put.csv") {
  const form = new FormData();
  form.append("file", new Blob([content]), name);
  const headers = { authorization: `Bearer ${KEY}` };
  const response = await fetch(`${app.url}/api/v1/files`, { method: "POST", body: form, headers });
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Json,
  };
}

const reasons = async (app: RunnerProcess): Promise<string> =>
  JSON.stringify((await app.get("/status")).body.data.reasons);

describe.if(sqld !== undefined)("processes on one libSQL server", () => {
  let root: ReturnType<typeof temporaryFolder>;
  let database: Awaited<ReturnType<typeof startSqld>>;
  let rows: ReturnType<typeof createClient>;
  let folders = 0;

  /** The environment of a process with its own disk. */
  const own = (env: Record<string, string> = {}) => ({
    DATABASE_URL: database.url,
    DATA_DIR: join(root.path, `node-${folders++}`),
    LEASE_SECONDS: "2",
    SIMULATOR_LATENCY_MS: "0",
    ...env,
  });
  const count = async (table: string) =>
    Number((await rows.execute(`SELECT count(*) FROM ${table}`)).rows[0]?.[0]);

  beforeAll(async () => {
    root = temporaryFolder();
    database = await startSqld(root.path);
    rows = createClient({ url: database.url });
  });
  afterAll(async () => {
    rows.close();
    await database[Symbol.asyncDispose]();
    root[Symbol.dispose]();
  });

  test("report in their status and log that their files differ, until they do not", async () => {
    const shared = { FILES_DIR: join(root.path, "shared") };
    await using one = await startProcess(own());
    await using two = await startProcess(own(shared));
    for (const app of [one, two]) {
      expect(await reasons(app)).toContain("1 of 2 nodes have other files than this one");
      await until(() => app.output.stderr.includes("Set FILES_URL, or give all") || undefined);
    }
    await one.kill("SIGTERM");
    await using three = await startProcess(own(shared));
    for (const app of [two, three]) expect(await reasons(app)).not.toContain("other files");
    for (const app of [one, two])
      expect(app.output.stderr.split("nodes have other files")).toHaveLength(2);
  });

  describe.if(moto !== undefined)("with one bucket", () => {
    let bucket: Awaited<ReturnType<typeof startMoto>>;
    let a: RunnerProcess;
    let b: RunnerProcess;
    let bFolder: string;
    let provider: Awaited<ReturnType<typeof startProvider>>;

    const clean = () => until(async () => ((await count("loose_files")) === 0 ? true : undefined));

    beforeAll(async () => {
      bucket = await startMoto();
      provider = await startProvider();
      const ofB = own({ ...bucket.env, ...provider.env });
      bFolder = join(ofB.DATA_DIR, "files");
      [a, b] = await Promise.all([
        startProcess(own({ ...bucket.env, ROLE: "api" })),
        startProcess(ofB, deno ? [deno, "run", "-A", "src/deno.ts"] : undefined),
      ]);
      // Those of the test before, which had other files, must have been declared dead.
      await until(async () => ((await count("nodes")) === 2 ? true : undefined));
    });
    beforeEach(() => {
      bucket.state.meddle = undefined;
      bucket.state.requests = [];
    });
    afterAll(async () => {
      await a?.[Symbol.asyncDispose]();
      await b?.[Symbol.asyncDispose]();
      await bucket[Symbol.asyncDispose]();
      await provider[Symbol.asyncDispose]();
    });

    test("an upload at one is the input of a batch at another, whose output is fetched at the first", async () => {
      const { body, status } = await upload(a, CSV);
      expect(status).toBe(201);
      const { id } = body.data;
      const outputFile = "out put/ü+&.csv";
      const batch = { id: "b1", inputFile: id, outputFile, config: CONFIG };
      expect((await b.post("/batches", batch)).status).toBe(201);
      expect((await a.get("/batches/b1/output")).status).toBe(409);
      await a.post("/batches/b1/execute");
      await until(async () => {
        const { output } = (await a.get("/batches/b1")).body.data;
        return output?.status === "written" || undefined;
      });
      const whole = await a.get("/batches/b1/output");
      expect(whole.status).toBe(200);
      expect(whole.text).toStartWith("city,status,result");
      expect(whole.text).toContain("東京,completed");
      const length = Buffer.byteLength(whole.text);
      const etag = whole.headers.get("etag") ?? "";
      expect(whole.headers.get("content-length")).toBe(String(length));
      expect(whole.headers.get("content-disposition")).toContain("UTF-8''%C3%BC%2B%26.csv");
      const part = await b.get("/batches/b1/output", { range: "bytes=5-10", "if-range": etag });
      expect([part.status, part.text]).toEqual([206, "status"]);
      expect(part.headers.get("content-range")).toBe(`bytes 5-10/${length}`);
      expect((await b.get("/batches/b1/output", { "if-none-match": etag })).status).toBe(304);
      expect((await a.get("/batches/b1/output", { range: "bytes=99999-" })).status).toBe(416);
      const stranger = await fetch(`${a.url}/api/v1/batches/b1/output`);
      expect(stranger.status).toBe(401);

      // Files from another program, and files that one batch writes for the next.
      const next = { inputFile: outputFile, config: { promptTemplate: "{{result}}" } };
      expect((await a.post("/batches", next)).status).toBe(201);
      expect((await a.post("/batches", { ...next, inputFile: "missing.csv" })).status).toBe(404);
      expect((await a.get(`/files/${id}/content`, { range: "bytes=0-3" })).text).toBe("city");
      expect((await b.del(`/files/${id}`)).status).toBe(200);
      expect((await bucket.keys()).filter((key) => key.includes(id))).toEqual([]);
      expect(readdirSync(join(bFolder, ".uploads"))).toEqual([]);
      expect(await reasons(a)).not.toContain("files");
    });

    test("an upload at one is attached to the call that another makes", async () => {
      const content = Buffer.concat([Buffer.from("89504e470d0a1a0a", "hex"), Buffer.alloc(2 * MB)]);
      const { id } = (await upload(a, content, "photo.png")).body.data;
      const task = { id: "t1", prompt: "What is this?", metadata: { photo: id } };
      const config = { attachments: [{ column: "photo", type: "image" }] };
      expect((await a.post("/batches", { id: "pictures", tasks: [task], config })).status).toBe(
        201,
      );
      await a.post("/batches/pictures/execute");
      await until(async () => {
        const { status } = (await a.get("/batches/pictures")).body.data;
        return status === "completed" || undefined;
      });
      const sent = provider.requests.find(({ text }) => text.includes("What is this?"))?.body;
      const url = sent?.messages[0].content[1].image_url.url;
      expect(url === `data:image/png;base64,${content.toString("base64")}`).toBe(true);
      expect((await a.del(`/files/${id}`)).status).toBe(200);
    });

    test("an upload whose process is killed leaves nothing", async () => {
      const held = Promise.withResolvers<void>();
      bucket.state.meddle = ({ url }) => {
        if (!url.includes("partNumber=2")) return undefined;
        held.resolve();
        return new Promise<never>(() => {});
      };
      await using killed = await startProcess(own({ ...bucket.env, ROLE: "api" }));
      const files = await count("files");
      const sent = upload(killed, Buffer.alloc(11 * MB, "x\n")).catch(() => undefined);
      await held.promise;
      expect(await bucket.unfinished()).toHaveLength(1);
      await killed.kill("SIGKILL");
      await sent;
      bucket.state.meddle = undefined;
      await clean();
      expect(await bucket.unfinished()).toEqual([]);
      expect((await bucket.keys()).filter((key) => key.includes("file-"))).toEqual([]);
      expect(await count("files")).toBe(files);
    });

    test("the output of a process that is killed while it writes it is written by another", async () => {
      const held = Promise.withResolvers<void>();
      bucket.state.meddle = ({ method, url }) => {
        if (method !== "PUT" || !url.includes("killed.csv")) return undefined;
        held.resolve();
        return new Promise<never>(() => {});
      };
      await b.kill("SIGTERM");
      const killed = await startProcess(own(bucket.env));
      const batch = { id: "b2", tasks: [{ prompt: "x" }], outputFile: "killed.csv" };
      await a.post("/batches", batch);
      await a.post("/batches/b2/execute");
      await held.promise;
      await killed.kill("SIGKILL");
      bucket.state.meddle = undefined;
      b = await startProcess(own(bucket.env));
      const text = await until(async () => {
        const { status, text } = await a.get("/batches/b2/output");
        return status === 200 ? text : undefined;
      });
      expect(text).toContain("completed");
    });

    test("an outage refuses only requests that need files, and leaves nothing incomplete", async () => {
      const { body } = await upload(a, CSV);
      await b.post("/batches", { id: "b3", tasks: [{ prompt: "x" }], outputFile: "late.csv" });
      const before = [await count("files"), await count("tasks")];
      bucket.state.meddle = () => refusal(503, "SlowDown");
      const [up, made, got] = await Promise.all([
        upload(a, CSV),
        a.post("/batches", { inputFile: body.data.id, config: CONFIG }),
        b.get(`/files/${body.data.id}/content`),
        b.post("/batches/b3/execute"),
      ]);
      for (const { status, headers, body } of [up, made, got]) {
        expect(status).toBe(503);
        expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
        expect(body.error.message).toContain("the server does not do it at present");
        expect(JSON.stringify(body)).not.toContain(bucket.env.S3_SECRET_ACCESS_KEY);
      }
      expect([await count("files"), await count("tasks")]).toEqual(before);
      expect((await b.finished("b3")).status).toBe("completed");
      bucket.state.meddle = ({ method }) =>
        method === "GET" ? refusal(412, "PreconditionFailed") : undefined;
      const replaced = await b.get(`/files/${body.data.id}/content`);
      expect([replaced.status, replaced.body.error.message]).toEqual([
        503,
        "The file cannot be read: it was replaced or removed while it was read",
      ]);
      bucket.state.meddle = undefined;
      await until(async () => {
        return (await a.get("/batches/b3/output")).status === 200 || undefined;
      });
      await clean();
      const again = await a.post("/batches", { inputFile: body.data.id, config: CONFIG });
      expect(again.status).toBe(201);
      for (const { stdout, stderr } of [a.output, b.output])
        expect(stdout + stderr).not.toContain(bucket.env.S3_SECRET_ACCESS_KEY);
    });

    test("a download that the bucket breaks off is not taken for a whole file, and the log says why", async () => {
      const { id } = (await upload(a, Buffer.alloc(5 * MB, "x"))).body.data;
      let reads = 0;
      bucket.state.meddle = ({ method }) =>
        method === "GET" && ++reads > 1 ? refusal(403, "AccessDenied") : undefined;
      const before = a.output.stderr.length;
      const headers = { authorization: `Bearer ${KEY}`, "x-request-id": "broken" };
      const answer = await fetch(`${a.url}/api/v1/files/${id}/content`, { headers });
      expect(answer.status).toBe(200);
      expect(answer.arrayBuffer()).rejects.toThrow();
      const line = await until(() =>
        a.output.stderr
          .slice(before)
          .split("\n")
          .slice(0, -1)
          .map((text) => JSON.parse(text))
          .find(({ requestId }) => requestId === "broken"),
      );
      expect(line.message).toStartWith(`GET /api/v1/files/${id}/content broke off`);
      expect(line.message).toContain("the credentials may not do this in the bucket bucket");
    });

    test("they start without the bucket's server, and end with one sentence if the bucket does not exist", async () => {
      bucket.state.meddle = ({ url }) =>
        url.includes("/bucket/") ? refusal(403, "InvalidAccessKeyId") : undefined;
      const start = (env: Record<string, string>) => startProcess(own({ ...bucket.env, ...env }));
      const [unknown, refused, away] = await Promise.all([
        start({ FILES_URL: "s3://no-such-bucket" }),
        start({}),
        start({ S3_ENDPOINT: "http://127.0.0.1:1" }),
      ]);
      await using app = away;
      const ends = [
        [unknown, "the bucket no-such-bucket does not exist"],
        [refused, "the server does not know S3_ACCESS_KEY_ID"],
      ] as const;
      for (const [{ exited, output }, words] of ends) {
        expect(await exited()).toBe(1);
        expect(output.stderr.trim().split("\n")).toHaveLength(1);
        expect(output.stderr).toContain(`FILES_URL cannot be used: ${words}`);
      }
      expect(await reasons(app)).toContain("127.0.0.1:1 cannot be reached");
      expect((await app.get("/status")).body.data.status).toBe("degraded");
    });
  });
});
