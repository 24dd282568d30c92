import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { startServer, type TestServer, until } from "../support/server.ts";

describe("GET /api/v1/batches/{id}/output", () => {
  let app: TestServer;

  beforeAll(async () => {
    app = await startServer();
  });
  afterAll(async () => {
    await app[Symbol.asyncDispose]();
  });

  async function written(id: string, outputFile: string, expected = "written"): Promise<void> {
    await app.post("/batches", { id, outputFile, tasks: [{ prompt: "a" }] });
    await app.post(`/batches/${id}/execute`);
    await until(async () => {
      const { output } = (await app.get(`/batches/${id}`)).body.data;
      return output?.status === expected || undefined;
    });
  }

  test("returns the file, ranges of it, and its ETag, as other downloads do", async () => {
    await written("b", "sub/re sults.jsonl");
    const { text: results } = await app.get("/batches/b/results?format=jsonl");
    const whole = await app.get("/batches/b/output");
    expect([whole.status, whole.text]).toEqual([200, results]);
    expect(whole.headers.get("content-type")).toBe("application/jsonl; charset=utf-8");
    expect(whole.headers.get("content-disposition")).toBe('attachment; filename="re sults.jsonl"');
    expect(whole.headers.get("content-length")).toBe(String(Buffer.byteLength(results)));
    const etag = whole.headers.get("etag") ?? "";
    const head = await app.send("HEAD", "/batches/b/output");
    expect([head.headers.get("etag"), head.text]).toEqual([etag, ""]);
    const part = await app.get("/batches/b/output", { range: "bytes=1-3", "if-range": etag });
    expect([part.status, part.text]).toEqual([206, results.slice(1, 4)]);
    expect((await app.get("/batches/b/output", { "if-none-match": etag })).status).toBe(304);
    expect((await app.get("/batches/b/output", { range: "bytes=99999-" })).status).toBe(416);

    const path = join(app.filesDir, "sub/re sults.jsonl");
    writeFileSync(`${path}.new`, "another");
    renameSync(`${path}.new`, path);
    const later = await app.get("/batches/b/output", { range: "bytes=1-3", "if-range": etag });
    expect([later.status, later.text]).toEqual([200, "another"]);
  });

  test("says why there is none", async () => {
    const answer = async (id: string) => {
      const { status, body } = await app.get(`/batches/${id}/output`);
      return [status, body.error.code, body.error.message];
    };
    expect((await answer("nobody")).slice(0, 2)).toEqual([404, "BATCH_NOT_FOUND"]);
    await app.post("/batches", { id: "none", tasks: [{ prompt: "a" }] });
    expect(await answer("none")).toEqual([
      404,
      "FILE_NOT_FOUND",
      expect.stringContaining("was created without an outputFile"),
    ]);
    await app.post("/batches", { id: "early", tasks: [{ prompt: "a" }], outputFile: "early.csv" });
    expect((await answer("early")).slice(0, 2)).toEqual([409, "BATCH_RUNNING"]);

    writeFileSync(join(app.filesDir, "blocked"), "");
    await written("blocked", "blocked/x.csv", "failed");
    const [status, , why] = await answer("blocked");
    expect(status).toBe(404);
    expect(why).toContain("a part of its path is a file");

    await written("gone", "gone.csv");
    const path = join(app.filesDir, "gone.csv");
    rmSync(path);
    expect((await answer("gone"))[2]).toContain("POST /api/v1/batches/gone/output");
    writeFileSync(join(app.dir, "secret.csv"), "secret");
    symlinkSync(join(app.dir, "secret.csv"), path);
    expect((await answer("gone")).slice(0, 2)).toEqual([404, "FILE_NOT_FOUND"]);
  });
});
