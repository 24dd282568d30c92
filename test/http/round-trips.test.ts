import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { parse } from "csv-parse/sync";
import fc from "fast-check";

import { type Json, startServer, type TestServer } from "../support/server.ts";

/** Any text in a cell: quotes, separators, line breaks, blanks, a BOM, other alphabets, emoji. */
const cell = fc
  .oneof(
    fc.string({ unit: "binary", maxLength: 12 }),
    fc.string({
      unit: fc.constantFrom(
        '"',
        ",",
        ";",
        "\n",
        "\r",
        "\r\n",
        "\t",
        " ",
        "'",
        "=",
        "é",
        "漢",
        "🙂",
        "\uFEFF",
        "a",
      ),
      maxLength: 8,
    }),
    fc.constantFrom("", "0", "-1", "1.50", "true", "null", "{}", "=1+1", "NaN", "007"),
  )
  .filter((text) => !text.includes("\0"));

/** Column names without a meaning for the runner, years and other numbers included. */
const name = fc.oneof(
  fc
    .string({
      unit: fc.constantFrom("a", "B", "é", "漢", " ", ".", "-", '"', ",", "\\", "x"),
      minLength: 1,
      maxLength: 6,
    })
    .map((text) => `v${text}`),
  fc.nat({ max: 3000 }).map(String),
);

const table = fc.uniqueArray(name, { minLength: 1, maxLength: 5 }).chain((names) =>
  fc.record({
    names: fc.constant(names),
    rows: fc.array(fc.array(cell, { minLength: names.length, maxLength: names.length }), {
      minLength: 1,
      maxLength: 6,
    }),
  }),
);

/** CSV as another program writes it: every cell quoted, CRLF between records. */
function writeCsv(records: string[][], delimiter = ",", lineEnd = "\r\n"): string {
  return records
    .map((record) => record.map((text) => `"${text.replaceAll('"', '""')}"`).join(delimiter))
    .join(lineEnd);
}

const ENCODINGS = {
  "utf-8": (text: string) => Buffer.from(text),
  "utf-16le": (text: string) => Buffer.from(`\uFEFF${text}`, "utf16le"),
  "utf-16be": (text: string) => Buffer.from(`\uFEFF${text}`, "utf16le").swap16(),
};

/** A member with the name `__proto__` is refused at any depth. */
const isTaken = (one: object) => !JSON.stringify(one).includes('"__proto__":');

/** Makes a batch of a file, runs it, and returns its results. */
async function run(app: TestServer, file: string, format: string): Promise<string> {
  const { body } = await app.post("/batches", { inputFile: file });
  if (!body.success) throw new Error(JSON.stringify(body.error));
  await app.post(`/batches/${body.data.id}/execute`);
  await app.finished(body.data.id);
  return (await app.get(`/batches/${body.data.id}/results?format=${format}`)).text;
}

test("a CSV comes back with every cell unchanged, also through JSONL", async () => {
  await using app = await startServer();
  mkdirSync(app.filesDir, { recursive: true });
  const put = (file: string, text: string) => writeFileSync(join(app.filesDir, file), text);
  await fc.assert(
    fc.asyncProperty(table, async ({ names, rows }) => {
      const header = [...names, "prompt"];
      const records = rows.map((row) => [...row, "say something"]);
      put("in.csv", writeCsv([header, ...records]));
      const csv: string[][] = parse(await run(app, "in.csv", "csv"));
      expect(csv.map((record) => record.slice(0, header.length))).toEqual([header, ...records]);
      expect(csv[0]?.slice(header.length, header.length + 2)).toEqual(["status", "result"]);

      put("out.jsonl", await run(app, "in.csv", "jsonl"));
      const back: string[][] = parse(await run(app, "out.jsonl", "csv"));
      expect(back.map((record) => record.slice(0, header.length))).toEqual([header, ...records]);
    }),
    { numRuns: 40, interruptAfterTimeLimit: 20_000 },
  );
}, 60_000);

test("a CSV comes back with any delimiter, line ends, encoding, and missing or duplicate names", async () => {
  await using app = await startServer();
  const header = fc.array(fc.constantFrom("", "a", "b", "column_1", "a_2", " a"), { maxLength: 4 });
  const style = fc.record({
    delimiter: fc.constantFrom(",", ";", "\t", "|"),
    lineEnd: fc.constantFrom("\n", "\r\n", "\r"),
    encoding: fc.constantFrom(...(Object.keys(ENCODINGS) as (keyof typeof ENCODINGS)[])),
  });
  const input = header.chain((names) =>
    fc.tuple(
      fc.constant<string[]>([...names, "prompt"]),
      fc.array(fc.array(cell, { minLength: names.length, maxLength: names.length }), {
        minLength: 1,
        maxLength: 4,
      }),
    ),
  );
  await fc.assert(
    fc.asyncProperty(input, style, async ([header, rows], { delimiter, lineEnd, encoding }) => {
      const records = [header, ...rows.map((row) => [...row, "say something"])];
      const text = writeCsv(records, delimiter, lineEnd);
      writeFileSync(join(app.filesDir, "in.csv"), ENCODINGS[encoding](text));
      const csv: string[][] = parse(await run(app, "in.csv", "csv"));
      expect(csv.map((record) => record.slice(0, header.length))).toEqual(records);
      const json: Json[] = JSON.parse(await run(app, "in.csv", "json"));
      expect(json.map((row) => Object.values(row).slice(0, header.length))).toEqual(
        records.slice(1),
      );
    }),
    { numRuns: 30, interruptAfterTimeLimit: 10_000 },
  );
}, 60_000);

test("an array of JSON objects comes back as JSONL with every member unchanged", async () => {
  await using app = await startServer();
  const member = fc.jsonValue({ maxDepth: 3, stringUnit: "binary" });
  const object = fc.dictionary(name, member, { maxKeys: 4, noNullPrototype: true }).filter(isTaken);
  await fc.assert(
    fc.asyncProperty(
      fc.array(object, { minLength: 1, maxLength: 5 }),
      fc.constantFrom(undefined, 1, "\t"),
      async (objects, indent) => {
        const given = objects.map((one) => ({ prompt: "hi", ...one }));
        writeFileSync(join(app.filesDir, "in.json"), JSON.stringify(given, undefined, indent));
        const lines = (await run(app, "in.json", "jsonl")).trimEnd().split("\n");
        for (const [i, line] of lines.entries()) {
          const value: Json = JSON.parse(line);
          expect(value.status).toBe("completed");
          expect(value).toMatchObject(JSON.parse(JSON.stringify(given[i])));
        }
        expect(lines).toHaveLength(given.length);
      },
    ),
    { numRuns: 30, interruptAfterTimeLimit: 10_000 },
  );
}, 60_000);

test("a JSONL line comes back byte for byte, with the result after it", async () => {
  await using app = await startServer();
  mkdirSync(app.filesDir, { recursive: true });
  const member = fc.jsonValue({ maxDepth: 2, stringUnit: "binary" });
  const object = fc.dictionary(name, member, { maxKeys: 4, noNullPrototype: true }).filter(isTaken);
  await fc.assert(
    fc.asyncProperty(fc.array(object, { minLength: 1, maxLength: 5 }), async (objects) => {
      // Spellings that a parser would lose: spaces, escapes, numbers that are not the shortest.
      const lines = objects.map(
        (one) =>
          `{ "n": 1.50, "e": "\\u00e9", "prompt":"hi"${JSON.stringify(one)
            .replace(/^\{(?!\})/, ",")
            .replace(/^\{\}$/, "}")}`,
      );
      writeFileSync(join(app.filesDir, "in.jsonl"), lines.join("\n"));
      const results = (await run(app, "in.jsonl", "jsonl")).trimEnd().split("\n");
      expect(results.length).toBe(lines.length);
      for (const [i, line] of results.entries()) {
        expect(line.startsWith(`{${lines[i]?.slice(1, -1).trim()},`)).toBe(true);
        const value: Json = JSON.parse(line);
        expect([value.status, typeof value.result]).toEqual(["completed", "string"]);
      }
    }),
    { numRuns: 40, interruptAfterTimeLimit: 20_000 },
  );
}, 60_000);

test("input columns with the names of result columns are kept, in every format", async () => {
  await using app = await startServer();
  mkdirSync(app.filesDir, { recursive: true });
  writeFileSync(
    join(app.filesDir, "in.csv"),
    "prompt,status,task_status,result\nhi,mine,also mine,1\n",
  );
  const [header, row] = parse(await run(app, "in.csv", "csv")) as string[][];
  expect(header?.slice(0, 6)).toEqual([
    "prompt",
    "status",
    "task_status",
    "result",
    "task_task_status",
    "task_result",
  ]);
  expect(row?.slice(0, 5)).toEqual(["hi", "mine", "also mine", "1", "completed"]);
  const line = JSON.parse(await run(app, "in.csv", "jsonl"));
  expect(line).toMatchObject({
    status: "mine",
    task_status: "also mine",
    task_task_status: "completed",
  });
});
