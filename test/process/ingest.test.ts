import { describe, expect, test } from "bun:test";
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";

import { type RunnerProcess, startProcess, temporaryFolder } from "../support/process.ts";
import { startServer } from "../support/server.ts";

/** Writes a file piece by piece, because it may be large. */
function writeLines(folder: string, name: string, lines: Iterable<string>): void {
  const files = join(folder, "files");
  mkdirSync(files, { recursive: true });
  const file = openSync(join(files, name), "w");
  let text = "";
  for (const line of lines) {
    text += `${line}\n`;
    if (text.length < 1_000_000) continue;
    writeSync(file, text);
    text = "";
  }
  writeSync(file, text);
  closeSync(file);
}

function* many(count: number, line: (i: number) => string): Generator<string> {
  for (let i = 0; i < count; i++) yield line(i);
}

/** The most memory that a process has had, in MB. */
function peakMb({ child }: RunnerProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

test("rows of two megabytes are stored and read a few at a time", async () => {
  using folder = temporaryFolder();
  const line = JSON.stringify({ prompt: "word ".repeat(380_000) });
  writeLines(
    folder.path,
    "long.jsonl",
    many(200, () => line),
  );
  await using app = await startProcess({
    DATA_DIR: folder.path,
    BUN_JSC_forceRAMSize: "536870912",
  });
  const before = peakMb(app);
  expect((await app.post("/batches", { id: "b", inputFile: "long.jsonl" })).status).toBe(201);
  const response = await fetch(`${app.url}/api/v1/batches/b/results?format=jsonl`, {
    headers: { authorization: "Bearer test-key" },
  });
  let bytes = 0;
  for await (const piece of response.body ?? []) bytes += piece.length;
  expect(bytes).toBeGreaterThan(200 * 1_900_000);
  // The file has 380 MB. What a few rows take depends on when garbage is collected, but not on how
  // many rows there are: 230 to 300 MB were measured for 60, for 150 and for 300 rows.
  expect(peakMb(app) - before).toBeLessThan(380);
});

describe("a batch", () => {
  test("that the disk has no room for is refused, and leaves nothing behind", async () => {
    await using app = await startServer();
    const { files } = app.ctx;
    files.space = async () => ({ free: 1e6, total: 1e9 });
    try {
      const tasks = Array.from({ length: 80 }, () => ({ prompt: "x" }));
      const config = { promptTemplate: "{{prompt}}" + "y".repeat(900_000) };
      const refused = await app.post("/batches", { id: "b", tasks, config });
      expect([refused.status, refused.body.error.code]).toEqual([503, "SERVICE_UNAVAILABLE"]);
      expect(refused.body.error.message).toContain("1000000 are free");
      expect((await app.get("/batches/b")).status).toBe(404);
      const { rows } = await app.ctx.client.execute("SELECT count(*) AS n FROM tasks");
      expect(rows[0]?.["n"]).toBe(0);
    } finally {
      files.space = async () => ({ free: 1e12, total: 1e12 });
    }
  });
});
