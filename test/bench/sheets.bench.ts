import { createWriteStream, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { type WorkbookCell, writeXlsx } from "../../src/lib/tables/xlsx-writer.ts";
import {
  type BenchRunner,
  peakMb,
  printTable,
  residentMb,
  round,
  startRunner,
  time,
} from "./support.ts";

const ROWS = 200_000;
const HEADER = ["name", "text", "amount", "flag", "day", "category"];

/** A workbook of 200,000 rows of six cells: to a stored batch and back, beside the same table as CSV. No row runs. */
export async function benchSheets(): Promise<void> {
  const rows = [];
  for (const format of ["csv", "xlsx"] as const) {
    const runner = await startRunner();
    const filesDir = join(runner.folder, "files");
    mkdirSync(filesDir, { recursive: true });
    const path = join(filesDir, `rows.${format}`);
    await pipeline(
      Readable.from(format === "csv" ? csv() : writeXlsx({ header: HEADER, rows: pages() })),
      createWriteStream(path),
    );
    const read = await time(() =>
      runner.api("POST", "/batches", {
        id: "b",
        inputFile: `rows.${format}`,
        config: { promptTemplate: "{{text}}" },
      }),
    );
    const afterReading = peakMb(runner.pid);
    const written = await time(() => download(runner, format));
    rows.push({
      format,
      "file MB": round(statSync(path).size / 1e6, 1),
      "in, rows/s": round(ROWS / read),
      "RSS MB": round(afterReading),
      "out, rows/s": round(ROWS / written),
      "RSS MB at most": round(peakMb(runner.pid)),
      "RSS MB after": round(residentMb(runner.pid)),
    });
    await runner.stop();
  }
  printTable(`A table of ${ROWS} rows of ${HEADER.length} cells`, rows);
}

function cellsOf(i: number): (string | number | boolean)[] {
  return [
    `row-${i}`,
    `Text ${i} with some words, a comma and "quotes"`,
    i * 1.5,
    i % 2 === 0,
    "2026-11-27",
    `Category ${i % 50}`,
  ];
}

async function* pages(): AsyncGenerator<WorkbookCell[][]> {
  for (let i = 0; i < ROWS; i += 1000)
    yield Array.from({ length: 1000 }, (_, n) => {
      const [name = "", text = "", amount = 0, flag = false, , category = ""] = cellsOf(i + n);
      return [name, text, amount, flag, { serial: 46_353, hasTime: false }, category];
    });
}

function* csv(): Generator<string> {
  yield `${HEADER.join()}\n`;
  for (let i = 0; i < ROWS; i += 1000)
    yield Array.from({ length: 1000 }, (_, n) => {
      const [name, text, ...others] = cellsOf(i + n);
      return `${name},"${String(text).replaceAll('"', '""')}",${others.join()}\n`;
    }).join("");
}

async function download(runner: BenchRunner, format: string): Promise<void> {
  const response = await fetch(`${runner.url}/api/v1/batches/b/results?format=${format}`, {
    headers: { authorization: "Bearer bench" },
  });
  for await (const _ of response.body ?? []);
}
