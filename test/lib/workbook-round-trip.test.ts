import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";

import { openArchive } from "../../src/lib/tables/archive.ts";
import { readTable } from "../../src/lib/tables/read-table.ts";
import type { Cell } from "../../src/lib/tables/table.ts";
import { dateCellOf, type WorkbookCell, writeXlsx } from "../../src/lib/tables/xlsx-writer.ts";

const folder = mkdtempSync(join(tmpdir(), "round-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

async function* only<T>(items: T[]): AsyncGenerator<T> {
  yield* items;
}

async function written(header: string[], rows: WorkbookCell[][], mostRows?: number) {
  const chunks: Uint8Array[] = [];
  const table = { header, rows: only([rows]), ...(mostRows === undefined ? {} : { mostRows }) };
  for await (const chunk of writeXlsx(table)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function readBack(bytes: Uint8Array, sheet?: string) {
  const path = join(folder, "a.xlsx");
  writeFileSync(path, bytes);
  const rows: Cell[][] = [];
  const source = { path, format: "xlsx" as const, options: { sheet } };
  for await (const some of readTable(source)(() => {})) rows.push(...some);
  return rows;
}

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom(
    "=1+1",
    "+1",
    "-1",
    "@a",
    "007",
    "_x0041_",
    "_x005F_",
    "]]>",
    "<a>&amp;",
    "\r\n",
    "\t",
    "\0\uFFFE",
    "true",
    "1e5",
  ),
);
const cell: fc.Arbitrary<Cell> = fc.oneof(
  text,
  fc.boolean(),
  fc.integer(),
  fc
    .double({ noNaN: true, noDefaultInfinity: true, min: -1e14, max: 1e14 })
    .map((n) => (Math.abs(n) < 1e-5 ? 0 : n)),
);

test("everything that is written to a workbook can be read from it", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(cell, { minLength: 1, maxLength: 5 }), { maxLength: 8 }),
      async (rows) => {
        const header = ["a", "b", "c", "d", "e"];
        const trimmed = (row: Cell[]) => row.slice(0, row.findLastIndex((one) => one !== "") + 1);
        const all = rows.map(trimmed);
        while (all.at(-1)?.length === 0) all.pop();
        expect(await readBack(await written(header, rows))).toEqual([header, ...all]);
      },
    ),
    { numRuns: 60 },
  );
});

test("dates are read unchanged, and values without a workbook type stay text", async () => {
  const at = fc.date({
    min: new Date("1900-03-01T00:00:00Z"),
    max: new Date("9999-12-31T00:00:00Z"),
    noInvalidDate: true,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(at, { minLength: 1, maxLength: 20 }), async (dates) => {
      const texts = dates.map((date) => date.toISOString().replace(/(T00:00:00)?(\.000)?Z$/, ""));
      const cells = texts.map((one) => dateCellOf(one) ?? "none");
      expect(
        await readBack(
          await written(
            ["d"],
            cells.map((one) => [one]),
          ),
        ),
      ).toEqual([["d"], ...texts.map((one) => [one])]);
    }),
    { numRuns: 30 },
  );
  for (const one of ["1899-12-31", "2026-13-01", "2026-02-03Z", "12:00:00"])
    expect(dateCellOf(one)).toBeUndefined();
});

test("the rows down to the header are frozen, and a table without a header has none", async () => {
  const paneOf = async (headerRow: number | undefined) => {
    const chunks: Uint8Array[] = [];
    const layout = headerRow === undefined ? {} : { headerRow };
    const table = { header: ["a"], rows: only([[["b"]]]), sheet: "x".repeat(31), ...layout };
    for await (const chunk of writeXlsx({ ...table, mostRows: (headerRow ?? 1) + 1 }))
      chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const rows = await readBack(bytes, "x".repeat(31));
    const archive = await openArchive(join(folder, "a.xlsx"));
    const xml = await archive.readPart("xl/worksheets/sheet1.xml");
    archive.close();
    return [/<pane [^>]*>/.exec(xml ?? "")?.[0], rows];
  };
  const pane = (rows: number) =>
    `<pane ySplit="${rows}" topLeftCell="A${rows + 1}" activePane="bottomLeft" state="frozen"/>`;
  expect(await paneOf(undefined)).toEqual([pane(1), [["a"], ["b"]]]);
  expect(await paneOf(3)).toEqual([pane(3), [[], [], ["a"], ["b"]]]);
  expect(await paneOf(0)).toEqual([undefined, [["b"]]]);
});

test("rows over the limit of a sheet are in the next one, and the same table gives the same bytes", async () => {
  const rows = Array.from({ length: 5 }, (_, i) => [i]);
  const bytes = await written(["n"], rows, 3);
  expect(await readBack(bytes)).toEqual([["n"], [0], [1]]);
  expect(await readBack(bytes, "Results 2")).toEqual([["n"], [2], [3]]);
  expect(await readBack(bytes, "Results 3")).toEqual([["n"], [4]]);
  expect(await written(["n"], rows, 3)).toEqual(bytes);
  expect(await readBack(await written(["n"], [[1e15 + 1], [Number.POSITIVE_INFINITY]]))).toEqual([
    ["n"],
    ["1000000000000001"],
    ["Infinity"],
  ]);
});
