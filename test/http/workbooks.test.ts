import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { parse } from "csv-parse/sync";

import { PackedTexts } from "../../src/lib/tables/packed-texts.ts";
import { readTable } from "../../src/lib/tables/read-table.ts";
import type { Cell, TableFound, WorkbookOptions } from "../../src/lib/tables/table.ts";
import { type Json, startServer, type TestServer, until } from "../support/server.ts";
import { row, workbookOf, zipOf } from "../support/workbook.ts";

let app: TestServer;
beforeAll(async () => {
  app = await startServer();
});
afterAll(() => app[Symbol.asyncDispose]());

let made = 0;

function put(content: string | Uint8Array, name = `w${made++}.xlsx`): string {
  writeFileSync(join(app.filesDir, name), content);
  return name;
}

/** Creates a batch from a workbook, and returns the batch and its rows as CSV. */
async function read(content: Uint8Array, config: object = {}) {
  const id = `b${made++}`;
  const template = { promptTemplate: "hi", ...config };
  const created = await app.post("/batches", { id, inputFile: put(content), config: template });
  if (created.status !== 201) throw new Error(created.body.error.message);
  const { data: batch }: { data: Json } = (await app.get(`/batches/${id}`)).body;
  const csv: string[][] = parse((await app.get(`/batches/${id}/results?format=csv`)).text);
  const { length } = batch.input.columns;
  return { id, input: batch.input, rows: csv.map((cells) => cells.slice(0, length)) };
}

/** The message of a refusal, after a check that nothing was created. */
async function refused(content: string | Uint8Array, config: object = {}, name?: string) {
  const id = `refused${made++}`;
  const { status, body } = await app.post("/batches", {
    id,
    inputFile: put(content, name),
    config: { promptTemplate: "hi", ...config },
  });
  expect([status, body.error?.code]).toEqual([400, "VALIDATION_ERROR"]);
  expect((await app.get(`/batches/${id}`)).status).toBe(404);
  return body.error.message as string;
}

/** Reads a table as a thread does. */
async function readAll(name: string, options: WorkbookOptions = {}) {
  let found: TableFound | undefined;
  const rows: Cell[][] = [];
  const path = join(app.filesDir, name);
  const format = name.endsWith("parquet") ? "parquet" : "xlsx";
  const table = readTable({ path, format, options })((all) => {
    found = all;
  });
  // The wide rows themselves are not needed, and would use much memory.
  for await (const some of table) rows.push(...some.filter(({ length }) => length < 1000));
  return { rows, found };
}

/** Downloads results as a workbook and reads its first sheet. */
async function download(path: string) {
  const { headers } = await app.get(path);
  const response = await fetch(`${app.url}/api/v1${path}`, {
    headers: { authorization: "Bearer test-key" },
  });
  const file = put(new Uint8Array(await response.arrayBuffer()));
  return { headers, ...(await readAll(file)) };
}

const number = (value: number | string, style = 0) => ({
  xml: `<c s="${style}"><v>${value}</v></c>`,
});

describe("a workbook", () => {
  test("is recognised by its content, and a name that says otherwise is warned of", async () => {
    const book = await workbookOf(row(1, "name") + row(2, "a"));
    const config = { promptTemplate: "hi {{name}}" };
    const inputs = {
      "table.xlsx": book,
      "book.csv": book,
      "text.xlsx": "name\na\n",
      "text.csv": "name\na\n",
      "lines.xls": '{"name": "a"}\n',
      "lines.json": '{"name": "a"}\n',
      "anything.dat": "name\na\n",
    };
    const warnings: Record<string, unknown> = {};
    for (const [name, content] of Object.entries(inputs)) {
      const inputFile = put(content, name);
      const preview = (await app.post("/batches/preview", { inputFile, config })).body.data;
      const { id } = (await app.post("/batches", { inputFile, config })).body.data;
      const { input } = (await app.get(`/batches/${id}`)).body.data;
      expect([name, preview.columns, input.columns]).toEqual([name, ["name"], ["name"]]);
      expect(input.warning ?? null).toBe(preview.warning);
      if (preview.warning) warnings[name] = preview.warning;
    }
    const said = (name: string, promised: string, found: string) =>
      `${name} is not ${promised}, as its name says, but ${found}, and was read as such: check its columns`;
    expect(warnings).toEqual({
      "book.csv": said("book.csv", "CSV", "a workbook"),
      "text.xlsx": said("text.xlsx", "a workbook", "CSV"),
      "lines.xls": said("lines.xls", "a workbook", "JSON"),
    });
  });

  test("that is a web page or XML is refused, whatever its name", async () => {
    const pages = [
      "<html><table><tr><td>name</td></tr></table></html>",
      "\ufeff\n<!DOCTYPE html>\n<title>Log in</title>",
      '<?xml version="1.0"?><Workbook></Workbook>',
    ];
    for (const name of ["page.xls", "page.csv", "page.json"])
      for (const page of pages)
        expect(await refused(page, {}, name)).toContain(`${name} is a web page or XML`);
    expect(await refused("<b>name</b>\n", { promptTemplate: "{{nr}}" }, "tags.csv")).toContain(
      "nr",
    );
  });

  test("has its header at headerRow, and rows missing from the sheet are counted", async () => {
    const sheet = await workbookOf(row(1, "Report") + row(4, "name", "n") + row(5, "a", "1"));
    const { input, rows } = await read(sheet, { xlsx: { headerRow: 4 } });
    expect(input).toMatchObject({ columns: ["name", "n"], rows: 1, skipped: 0 });
    expect(rows).toEqual([
      ["name", "n"],
      ["a", "1"],
    ]);
  });

  test("is read with cells of every type", async () => {
    const texts = [
      "<t>id</t>",
      "<r><t>rich </t></r><r><rPr><b/></rPr><t>text</t></r><rPh sb='0' eb='1'><t>kana</t></rPh>",
      "<t xml:space='preserve'> two\nlines &amp; _x0007_ &lt;b&gt; _x005F_x0041_</t>",
    ];
    const content = await workbookOf(
      row(1, { xml: '<c t="s"><v>0</v></c>' }, "a", "b", "c", "d", "e", "f", "g") +
        row(
          2,
          "r1",
          { xml: '<c t="s"><v>1</v></c>' },
          { xml: '<c t="s"><v>2</v></c>' },
          { xml: '<c t="b"><v>1</v></c>' },
          { xml: '<c t="e"><v>#N/A</v></c>' },
          { xml: "<c><f>1+1</f><v>2</v></c>" },
          { xml: '<c t="str"><f>A1</f><v></v></c>' },
          { xml: '<c t="d"><v>2026-02-03</v></c>' },
        ) +
        row(
          3,
          "r2",
          "007",
          number("0.1"),
          number("1E-7"),
          number("1e21"),
          number("12345678901234567890"),
        ),
      { texts },
    );
    const { rows, input } = await read(content);
    expect(rows).toEqual([
      ["id", "a", "b", "c", "d", "e", "f", "g"],
      ["r1", "rich text", " two\nlines & \x07 <b> _x0041_", "true", "#N/A", "2", "", "2026-02-03"],
      ["r2", "007", "0.1", "0.0000001", `1${"0".repeat(21)}`, "12345678901234567890", "", ""],
    ]);
    expect(input).toMatchObject({ format: "xlsx", sheet: "Sheet1", dates: ["g"], rows: 2 });
  });

  test("gives dates in ISO 8601 and plain numbers, or the displayed text", async () => {
    const formats = ["yyyy-mm-dd", "m/d/yy h:mm", "h:mm", "[h]:mm", "0%", "#,##0.00"];
    const cells = [
      number(46000, 1),
      number(46000.75, 2),
      number(0.5, 3),
      number(1.5, 4),
      number(0.25, 5),
      number(1234.5, 6),
    ];
    const content = await workbookOf(
      row(1, "day", "at", "time", "long", "share", "sum") +
        row(2, ...cells) +
        row(3, number(60, 1), number(1, 1)),
      { formats },
    );
    expect((await read(content)).rows).toEqual([
      ["day", "at", "time", "long", "share", "sum"],
      ["2025-12-09", "2025-12-09T18:00:00", "12:00:00", "36:00:00", "0.25", "1234.5"],
      ["1900-02-29", "1900-01-01", "", "", "", ""],
    ]);
    const shown = await read(content, { xlsx: { values: "formatted" } });
    expect(shown.rows[1]).toEqual([
      "2025-12-09",
      "12/9/25 18:00",
      "12:00",
      "36:00",
      "25%",
      "1,234.50",
    ]);
    const old = await workbookOf(
      row(1, "day", "time", "long") + row(2, number(0, 1), number(0.5, 3), number(1.5, 4)),
      { formats, is1904: true },
    );
    expect((await read(old)).rows[1]).toEqual(["1904-01-01", "12:00:00", "36:00:00"]);
    expect((await read(old, { xlsx: { values: "formatted" } })).rows[1]).toEqual([
      "1904-01-01",
      "12:00",
      "36:00",
    ]);
    const lap = await workbookOf(
      row(1, "lap", "short") + row(2, number(0.5 / 86_400 + 0.01, 1), number(0.01, 2)),
      { formats: ["mm:ss.0", "mm:ss"] },
    );
    const { rows: laps, input } = await read(lap);
    expect([laps[1], input.dates]).toEqual([["00:14:24.500", "00:14:24"], []]);
  });

  test("has the requested sheet, or the first visible one", async () => {
    const content = await workbookOf([
      { name: "Hidden", rows: row(1, "a") + row(2, "hidden"), state: "hidden" },
      { name: "Secret", rows: row(1, "a") + row(2, "secret"), state: "veryHidden" },
      { name: "Data", rows: row(1, "a") + row(2, "data") },
      { name: "2026", rows: row(1, "a") + row(2, "year") },
      { name: "Empty", rows: "" },
    ]);
    const cells = async (sheet?: string | number) =>
      (await read(content, sheet === undefined ? {} : { xlsx: { sheet } })).rows[1];
    expect(await cells()).toEqual(["data"]);
    expect(await cells("2026")).toEqual(["year"]);
    expect(await cells("data")).toEqual(["data"]);
    expect(await cells(1)).toEqual(["hidden"]);
    expect(await refused(content, { xlsx: { sheet: "Nope" } })).toContain(
      'has no sheet "Nope"; it has "Hidden", "Secret", "Data", "2026", "Empty"',
    );
    expect(await refused(content, { xlsx: { sheet: 9 } })).toContain("has no sheet 9");
    expect(await refused(content, { xlsx: { sheet: "Empty" } })).toContain("has no header row");
  });

  test("has blank rows and cells, merged cells and columns of one name", async () => {
    const content = await workbookOf(
      row(2, "x", "", "x") +
        row(4, "merged") +
        '<row r="7"><c r="C7" t="inlineStr"><is><t>c</t></is></c></row>' +
        '<row r="1048576"><c r="A1048576" s="1"/></row></sheetData><mergeCells><mergeCell ref="A4:B4"/></mergeCells><sheetData>',
    );
    const { rows, input } = await read(content);
    expect(input).toMatchObject({ columns: ["x", "column_2", "x_2"], rows: 2, skipped: 3 });
    expect(rows.slice(1)).toEqual([
      ["merged", "", ""],
      ["", "", "c"],
    ]);
    const bare = await read(content, { xlsx: { header: false } });
    expect(bare.input).toMatchObject({ columns: ["column_1", "column_2", "column_3"], rows: 3 });
  });

  test("may be written with prefixes, without cell references, in pieces and in CDATA", async () => {
    const xml =
      '<?xml version="1.0"?><!-- > --><x:worksheet xmlns:x="m"><x:sheetData><x:row><x:c t="inlineStr"><x:is><x:t>a</x:t></x:is></x:c></x:row>' +
      '<x:row><x:c t="inlineStr"><x:is><x:t><![CDATA[1 > 0 <b>]]></x:t></x:is></x:c></x:row></x:sheetData></x:worksheet>';
    const content = await workbookOf("", { others: { "xl/worksheets/sheet1.xml": xml } });
    expect((await read(content)).rows).toEqual([["a"], ["1 > 0 <b>"]]);
  });
});

describe("a workbook is refused", () => {
  const worksheet = (inner: string) => ({ others: { "xl/worksheets/sheet1.xml": inner } });
  test.each([
    [
      "with macros",
      () => workbookOf("", { others: { "xl/vbaProject.bin": "x" } }),
      "with macros, which are never run",
    ],
    [
      "that is called one with macros",
      () =>
        workbookOf("", {
          others: { "[Content_Types].xml": "application/vnd.ms-excel.sheet.macroEnabled.main+xml" },
        }),
      "with macros",
    ],
    [
      "that is binary",
      () =>
        workbookOf("", {
          others: { "[Content_Types].xml": "application/vnd.ms-excel.sheet.binary.macroEnabled" },
        }),
      "save it as .xlsx",
    ],
    [
      "that is OpenDocument",
      () => zipOf({ mimetype: "application/vnd.oasis.opendocument.spreadsheet" }),
      "is an OpenDocument spreadsheet",
    ],
    ["that is any archive", () => zipOf({ "a.txt": "hi" }), "is a ZIP archive, but not a workbook"],
    [
      "that is encrypted",
      () => Buffer.from("d0cf11e0a1b11ae1".padEnd(1024, "0"), "hex"),
      "is an encrypted workbook or an old one",
    ],
    [
      "that is cut off",
      async () => (await workbookOf(row(1, "a"))).subarray(0, 900),
      "is not a workbook, or a damaged one",
    ],
    [
      "with a DOCTYPE",
      () => workbookOf("", worksheet('<!DOCTYPE x [<!ENTITY a "b">]><worksheet/>')),
      "declares a DOCTYPE",
    ],
    [
      "with a formula without a value",
      () => workbookOf(row(1, "a") + row(2, { xml: "<c><f>A1</f></c>" })),
      'sheet "Sheet1": cell A2 has a formula whose value is not stored',
    ],
    [
      "with a text that is not there",
      () => workbookOf(row(1, { xml: '<c t="s"><v>7</v></c>' })),
      "cell A1 names a text that the file does not have",
    ],
    [
      "whose rows are in disorder",
      () => workbookOf(row(3, "a") + row(2, "b")),
      "row 2 follows row 3",
    ],
    [
      "with too many rows",
      () => workbookOf(row(1, "a") + row(1_048_577, "b")),
      "has more than 1048576 rows",
    ],
    [
      "with too many columns",
      () => workbookOf('<row r="1"><c r="XFE1"><v>1</v></c></row>'),
      "a cell that no sheet has room for (XFE1)",
    ],
    [
      "with cells right of the header",
      () => workbookOf(row(1, "a") + row(2, "b", "c")),
      "the row has 2 cells, the header 1",
    ],
    [
      "whose end is missing",
      () =>
        workbookOf("", worksheet("<worksheet><sheetData><row r='1'><c r='A1'><v>1</v></c></row>")),
      "the rest of the sheet is missing",
    ],
  ])("%s", async (_, make, message) => {
    expect(await refused(await make())).toContain(message);
  });

  test("that would unpack to gigabytes, before it is unpacked", async () => {
    const content = await workbookOf(row(1, "a"));
    // The size in the central directory of the archive, from which the program reads it.
    const entry = content.lastIndexOf("xl/worksheets/sheet1.xml") - 46;
    content.writeUInt32LE(4_000_000_000, entry + 24);
    expect(await refused(content)).toContain('sheet "Sheet1" would take 4000000000 bytes unpacked');
    content.writeUInt32LE(10, entry + 24);
    expect(await refused(content)).toContain('sheet "Sheet1" cannot be unpacked');
  });

  test("with a huge table from few bytes", async () => {
    const rows = Array.from(
      { length: 3100 },
      (_, i) => `<row><c r="XFD${i + 1}"><v>1</v></c></row>`,
    );
    const content = await workbookOf(rows.join(""));
    expect(content.length).toBeLessThan(50_000);
    await expect(readAll(put(content))).rejects.toThrow(
      /sheet "Sheet1", row 30\d\d: the table has more than 50000000 cells/,
    );
  });

  test("with more different text than is held in memory", () => {
    const texts = new PackedTexts();
    texts.add("a");
    expect(() => texts.add("x".repeat(128 * 1024 * 1024))).toThrow(
      "its different texts take more than 134217728 bytes",
    );
  });

  test("with options for another format", async () => {
    const content = await workbookOf(row(1, "a"));
    expect(await refused(content, { csv: { delimiter: ";" } })).toContain("is not CSV or JSON");
    expect(await refused("a\nb\n", { xlsx: { sheet: 1 } }, "plain.csv")).toContain(
      "is not a workbook",
    );
  });
});

describe("results as a workbook", () => {
  test("have the columns of the input with their types, then the answers", async () => {
    const content = await workbookOf(
      row(1, "name", "day", "at", "price", "ok", "code") +
        row(
          2,
          "=1+1",
          number(46000, 1),
          number(46000.75, 2),
          number(1.5),
          { xml: '<c t="b"><v>0</v></c>' },
          "007",
        ),
      { formats: ["yyyy-mm-dd", "yyyy-mm-dd hh:mm"] },
    );
    const { id } = await read(content, { promptTemplate: "{{name}} {{day}} {{price}} {{ok}}" });
    await app.post(`/batches/${id}/execute`);
    await app.finished(id);
    const { headers, rows, found } = await download(`/batches/${id}/results?format=xlsx`);
    expect(headers.get("content-type")).toContain("spreadsheetml.sheet");
    expect(headers.get("content-disposition")).toContain(`${id}.xlsx`);
    expect(rows[0]?.slice(0, 8)).toEqual([
      "name",
      "day",
      "at",
      "price",
      "ok",
      "code",
      "status",
      "result",
    ]);
    expect(rows[1]?.slice(0, 7)).toEqual([
      "=1+1",
      "2025-12-09",
      "2025-12-09T18:00:00",
      1.5,
      false,
      "007",
      "completed",
    ]);
    expect(rows[1]?.[7]).toContain("=1+1 2025-12-09 1.5 false");
    expect(found).toEqual({ sheet: "Results", dates: [1, 2] });
    const again = await download(`/batches/${id}/results?format=input`);
    expect(again.rows).toEqual([rows[0]?.slice(0, 6), rows[1]?.slice(0, 6)] as Cell[][]);
    const json: Json[] = (await app.get(`/batches/${id}/results?format=json`)).body;
    expect(json[0]).toMatchObject({ name: "=1+1", price: 1.5, ok: false, code: "007" });
    // And so do those of a batch that was made from this one.
    const config = { promptTemplate: "{{day}} {{price}}" };
    await app.post("/batches", { id: `${id}-next`, inputBatch: id, config });
    const next = await download(`/batches/${id}-next/results?format=xlsx`);
    expect(next.rows[1]?.slice(0, 6)).toEqual(rows[1]?.slice(0, 6) ?? []);
    expect(next.found).toEqual({ sheet: "Results", dates: [1, 2] });
  });

  test("mark text that is too long for a cell, and can be requested in parts", async () => {
    const long = "x".repeat(40_000);
    const tasks = [{ id: `long${made}`, prompt: `${long}\x01_x0041_` }, { prompt: "-1+2" }];
    const id = `long${made++}`;
    expect((await app.post("/batches", { id, tasks })).body).toMatchObject({ success: true });
    await app.post(`/batches/${id}/execute`);
    await app.finished(id);
    const path = `/batches/${id}/results?format=xlsx`;
    const { rows } = await download(path);
    expect(String(rows[1]?.[1])).toHaveLength(32_767);
    expect(rows[1]?.[1]).toEndWith(
      "… [cut: 40008 characters; the CSV and JSON results have them all]",
    );
    expect(rows[2]?.[1]).toBe("-1+2");
    const authorization = "Bearer test-key";
    const get = (range?: string) =>
      fetch(`${app.url}/api/v1${path}`, {
        headers: { authorization, ...(range ? { range } : {}) },
      });
    const whole = new Uint8Array(await (await get()).arrayBuffer());
    const part = await get("bytes=10-99");
    expect(part.status).toBe(206);
    expect(new Uint8Array(await part.arrayBuffer())).toEqual(whole.slice(10, 100));
  });

  test("are written to an output file of that name", async () => {
    const id = `out${made++}`;
    const inputFile = put(await workbookOf(row(1, "prompt") + row(2, "hello")));
    await app.post("/batches", { id, inputFile, outputFile: "out.xlsx" });
    await app.post(`/batches/${id}/execute`);
    const output = await until(async () => {
      const { data } = (await app.get(`/batches/${id}`)).body;
      return ["written", "failed"].includes(data.output?.status) ? data.output : undefined;
    });
    expect(output.error).toBeNull();
    expect(readdirSync(app.filesDir)).toContain("out.xlsx");
  });
});
