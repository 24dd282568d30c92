import { expect, test } from "bun:test";

import { parse } from "csv-parse/sync";
import fc from "fast-check";

import { readCsv } from "../../src/lib/csv.ts";
import type { FileSystem } from "../../src/lib/file-system.ts";

const OPTIONS = { record_delimiter: ["\r\n", "\n", "\r"], relax_column_count: true };

/** The records of a text that arrives in pieces of this many bytes, or the message of the refusal. */
async function recordsOf(text: string, bytesAtOnce: number, hasSepLine = false) {
  const bytes = Buffer.from(text);
  const files = {
    async *read() {
      for (let i = 0; i < bytes.length; i += bytesAtOnce) yield bytes.subarray(i, i + bytesAtOnce);
    },
  } as unknown as FileSystem;
  const records: string[][] = [];
  try {
    const file = { path: "x.csv", encoding: "utf-8" };
    for await (const some of readCsv(files, file, { delimiter: ",", hasSepLine }))
      records.push(...some);
    return records;
  } catch (error) {
    return error instanceof Error ? error.message : error;
  }
}

test("a CSV is read as csv-parse reads it, wherever its pieces end", async () => {
  const part = fc.constantFrom("a", "ü", ",", "\n", "\r\n", "\r", '"', '""', " ", '"b,\n"', '"\r"');
  await fc.assert(
    fc.asyncProperty(
      fc.array(part, { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 7 }),
      fc.constantFrom("", "\uFEFF"),
      async (parts, bytesAtOnce, mark) => {
        const text = mark + parts.join("");
        const found = await recordsOf(text, bytesAtOnce);
        let expected: string[][] | undefined;
        try {
          expected = parse(text, { ...OPTIONS, bom: true });
        } catch {
          // The messages differ; only the fact of an error is compared.
        }
        if (expected) expect(found).toEqual(expected);
        else expect(found).toBeString();
      },
    ),
    { numRuns: 1000 },
  );
});

test("broken quoting is refused with its line and column, also behind pieces without quotes", async () => {
  const plain = "a,b\n".repeat(50);
  const rows = "more,rows\n".repeat(40_000);
  for (const [column, text] of [
    [1, '"x,y'],
    [1, `"x,y\n${"more,rows\n".repeat(50)}`],
    [3, `"a\nb","x\ny","c\n${rows}`],
  ] as const)
    expect(await recordsOf(plain + text, 4096)).toContain(
      `is never closed, in the row that begins in line 51, in column ${column}; close it`,
    );
  const long = `"${"a\r\n".repeat(50_000)}",b\n`;
  expect(await recordsOf(`${long}1,2\n"x,y\n${rows}`, 65_536)).toContain(
    "begins in line 50003, in column 1;",
  );
  expect(await recordsOf(`${plain}"x"y,z\n`, 16)).toContain("in line 51, in column 1;");
  expect(await recordsOf(`${plain}z,x "y"\n`, 16)).toContain("in line 51, in column 2;");
  expect(await recordsOf(`"a\nb",c\n${plain}x "y",z\n`, 16)).toContain("in line 53, in column 1;");
  expect(await recordsOf(`a\n"${"b,c\n".repeat(2_200_000)}`, 65_536)).toContain(
    "more than 8 MiB, which begins in line 2; is a quote missing there, in column 1?",
  );
});

test("a record of megabytes is read, and so are the records after it", async () => {
  const long = `x\n""y"",z${"😀".repeat(100_000)}`;
  const records = await recordsOf(`a,b\n1,2\n"${long}",c\r\n3,"4"\n5,6`, 65_536);
  const cell = long.replaceAll('""', '"');
  expect(records).toEqual([
    ["a", "b"],
    ["1", "2"],
    [cell, "c"],
    ["3", "4"],
    ["5", "6"],
  ]);
});

test("a line that names the delimiter is not a record", async () => {
  for (const line of ["sep=,", '"sep=,"'])
    for (const end of ["\n", "\r\n", "\r"])
      expect(await recordsOf(`\uFEFF${line}${end}a,b${end}`, 3, true)).toEqual([["a", "b"]]);
});
