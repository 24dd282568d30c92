import { createReadStream, createWriteStream, mkdirSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { parse } from "csv-parse";

import { sniffCsv } from "../../src/lib/csv-sniff.ts";
import { detectEncoding, SAMPLE_BYTES } from "../../src/lib/encoding.ts";
import { systemFiles } from "../../src/lib/file-system.ts";
import { readTextStart } from "../../src/lib/text-file.ts";
import { insertFloor } from "./insert-floor.ts";
import {
  type BenchRunner,
  median,
  peakMb,
  printTable,
  residentMb,
  round,
  startRunner,
  time,
} from "./support.ts";

const ROWS = Number(process.env["ROWS"] ?? 1_000_000);
const PAGES = ROWS / 200;

/**
 * A million short rows, or as many as `ROWS` says: from a file to a stored batch, and from there to files of results.
 * Beside it csv-parse alone reads the same file, and the database alone executes the statements of the rows. No row runs.
 */
export async function benchBatches(): Promise<void> {
  const runner = await startRunner();
  const filesDir = join(runner.folder, "files");
  mkdirSync(filesDir, { recursive: true });
  const path = join(filesDir, "rows.csv");
  await pipeline(Readable.from(rows()), createWriteStream(path));
  const alone = await time(async () => {
    for await (const _ of createReadStream(path).pipe(parse({ bom: true })));
  });
  const ingest = await time(() =>
    runner.api("POST", "/batches", { id: "b", inputFile: "rows.csv" }),
  );
  const peak = peakMb(runner.pid);
  const floor = await insertFloor(prompts());
  const results: Record<string, string | number>[] = [
    { what: "csv-parse alone", "rows/s": round(ROWS / alone), "of csv-parse": 1, "RSS MB": "" },
    {
      what: "create a batch: checked, then stored",
      "rows/s": round(ROWS / ingest),
      "of csv-parse": round(alone / ingest, 2),
      "RSS MB": `${round(peak)} at most`,
    },
    {
      what: "its statements alone, the most that can be",
      "rows/s": round(ROWS / floor),
      "of csv-parse": round(alone / floor, 2),
      "RSS MB": "",
    },
  ];
  for (const format of ["csv", "jsonl"]) {
    const read = await time(() => download(runner, format));
    results.push({
      what: `results as ${format}`,
      "rows/s": round(ROWS / read),
      "of csv-parse": round(alone / read, 2),
      "RSS MB": round(residentMb(runner.pid)),
    });
  }
  printTable(`A batch of ${ROWS} rows`, results);
  const detection = await time(() => detect(path));
  printTable("The time to detect the format of its file", [
    {
      ms: round(detection * 1000, 1),
      "% of creating the batch": round((detection / ingest) * 100, 2),
    },
  ]);
  await benchIdleReaders(runner);
  await benchPages(runner);
  await benchEstimate(runner);
  await runner.stop();
}

/** The detection of a text file's format, before its rows are read. */
async function detect(path: string): Promise<void> {
  const encoding = await detectEncoding(systemFiles, path, undefined);
  const { text, isWhole } = await readTextStart(systemFiles, { path, encoding }, SAMPLE_BYTES);
  sniffCsv(text, { isWhole, isTsv: false });
}

function* rows(): Generator<string> {
  yield "id,prompt,city\n";
  for (let i = 0; i < ROWS; i += 1000)
    yield Array.from({ length: 1000 }, (_, n) => `row-${i + n},Say hello to ${i + n},Paris\n`).join(
      "",
    );
}

function* prompts(): Generator<string> {
  for (let i = 0; i < ROWS; i++) yield `Say hello to ${i}`;
}

async function download(runner: BenchRunner, format: string): Promise<void> {
  const response = await fetch(`${runner.url}/api/v1/batches/b/results?format=${format}`, {
    headers: { authorization: "Bearer bench" },
  });
  for await (const _ of response.body ?? []);
}

/** Readers that take the first piece of the results, then stop reading, and then disconnect. */
async function benchIdleReaders(runner: BenchRunner): Promise<void> {
  const before = residentMb(runner.pid);
  const readers = await Promise.all(
    Array.from({ length: 50 }, async () => {
      const abort = new AbortController();
      const response = await fetch(`${runner.url}/api/v1/batches/b/results?format=jsonl`, {
        headers: { authorization: "Bearer bench" },
        signal: abort.signal,
      });
      await response.body?.getReader().read();
      return abort;
    }),
  );
  await Bun.sleep(5000);
  const during = residentMb(runner.pid);
  for (const reader of readers) reader.abort();
  await Bun.sleep(2000);
  printTable("Fifty readers of its results that stop reading", [
    { when: "before", "RSS MB": round(before) },
    { when: "after 5 s of silence", "RSS MB": round(during) },
    { when: "2 s after they vanished", "RSS MB": round(residentMb(runner.pid)) },
  ]);
}

/** The first page, and one in the middle, by cursor. */
async function benchPages(runner: BenchRunner): Promise<void> {
  const cursors = new Map<number, string>();
  let cursor = "";
  for (let page = 1; page <= PAGES; page++) {
    cursors.set(page, cursor);
    cursor = (await runner.api("GET", `/batches/b?limit=100${cursor}`)).pagination.nextCursor;
    cursor = `&cursor=${cursor}`;
  }
  const rows = [];
  for (const page of [1, PAGES]) {
    const times: number[] = [];
    for (let i = 0; i < 50; i++)
      times.push(await time(() => runner.api("GET", `/batches/b?limit=100${cursors.get(page)}`)));
    rows.push({ page, "p50 ms": round(median(times) * 1000, 2) });
  }
  printTable("Pages of a hundred of its tasks, by cursor", rows);
}

async function benchEstimate(runner: BenchRunner): Promise<void> {
  const seconds = await time(() => runner.api("GET", "/batches/b/estimate"));
  printTable("Its estimate", [{ tasks: ROWS, seconds: round(seconds, 2) }]);
}
