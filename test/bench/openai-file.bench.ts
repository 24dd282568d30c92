import { once } from "node:events";
import { createWriteStream, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { peakMb, printTable, type Row, round, startRunner, startScript } from "./support.ts";

const LINES = 50_000;
/** The largest file that OpenAI accepts. */
const BYTES = 200_000_000;
const LINE_BYTES = Math.floor(BYTES / LINES);

/** The largest input file of OpenAI's Batch API, from upload to download, with the peak memory at each step. */
export async function benchOpenAiFile(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "bench-openai-"));
  const input = join(folder, "input.jsonl");
  await writeInput(input);
  const provider = await startScript("provider.ts");
  const runner = await startRunner({
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: "x",
    MAX_CONCURRENCY: "256",
  });
  const call = async (path: string, body?: FormData | string) => {
    const headers = {
      authorization: "Bearer bench",
      ...(typeof body === "string" ? { "content-type": "application/json" } : {}),
    };
    const sent = body === undefined ? {} : { method: "POST", body };
    const response = await fetch(`${runner.url}/v1${path}`, { ...sent, headers });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  const untilNot = async (id: string, ...statuses: string[]) => {
    for (;;) {
      const batch = await (await call(`/batches/${id}`)).json();
      if (!statuses.includes(batch.status)) return batch;
      await Bun.sleep(50);
    }
  };
  const rows: Row[] = [];
  const begun = performance.now();
  const note = (step: string, since: number) =>
    rows.push({
      step,
      seconds: round((performance.now() - since) / 1000, 1),
      "RSS MB most": round(peakMb(runner.pid)),
    });

  const form = new FormData();
  form.set("purpose", "batch");
  form.set("file", Bun.file(input), "input.jsonl");
  const file = await (await call("/files", form)).json();
  note(`upload of ${round(statSync(input).size / 1e6)} MB`, begun);

  let since = performance.now();
  const made = await call(
    "/batches",
    JSON.stringify({
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    }),
  );
  const { id } = await made.json();
  const checked = await untilNot(id, "validating");
  if (checked.status === "failed") throw new Error(JSON.stringify(checked.errors));
  note("validation", since);

  since = performance.now();
  const ended = await untilNot(id, "in_progress", "finalizing");
  if (ended.request_counts.completed !== LINES) throw new Error(JSON.stringify(ended));
  note(`${LINES} calls`, since);

  since = performance.now();
  const output = await call(`/files/${ended.output_file_id}/content`);
  let bytes = 0;
  let lines = 0;
  for await (const piece of output.body ?? []) {
    bytes += piece.length;
    for (const byte of piece) if (byte === 10) lines++;
  }
  if (lines !== LINES) throw new Error(`${lines} lines came`);
  note(`download of ${round(bytes / 1e6)} MB`, since);

  await Promise.all([runner.stop(), provider.stop()]);
  rmSync(folder, { recursive: true, force: true });
  printTable(`A batch of ${LINES} lines through /v1`, rows);
}

async function writeInput(path: string): Promise<void> {
  const file = createWriteStream(path);
  for (let i = 0; i < LINES; i++) {
    const line = (content: string) =>
      `${JSON.stringify({
        custom_id: `line-${i}`,
        method: "POST",
        url: "/v1/chat/completions",
        body: { model: "gpt-4o-mini", messages: [{ role: "user", content }] },
      })}\n`;
    const text = "lorem ipsum ".repeat(400).slice(0, LINE_BYTES - line("").length);
    if (!file.write(line(text))) await once(file, "drain");
  }
  file.end();
  await once(file, "finish");
}
