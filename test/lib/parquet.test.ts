import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { AsyncBuffer, FileMetaData, SchemaElement } from "hyparquet";

import { requireBoundedPages } from "../../src/lib/tables/parquet-limits.ts";
import { cellOf, columnsOf, withWholeDecimals } from "../../src/lib/tables/parquet-values.ts";
import { readTable } from "../../src/lib/tables/read-table.ts";
import type { Cell, TableFound } from "../../src/lib/tables/table.ts";

/** Written by pyarrow 26, with zstd. */
const FILE = "test/support/types.parquet";

async function read(path: string) {
  const rows: Cell[][] = [];
  let found: TableFound | undefined;
  for await (const some of readTable({ path, format: "parquet", options: {} })((all) => {
    found = all;
  }))
    rows.push(...some);
  return { rows, found };
}

test("every type of a Parquet file has a cell", async () => {
  const { rows, found } = await read(FILE);
  expect(rows[0]?.join()).toBe("id,big,price,ok,day,at,utc,time,sum,tags,pair");
  expect(rows.slice(1)).toEqual([
    [
      "007",
      "9007199254740993",
      1.5,
      true,
      "2026-11-27",
      "2026-11-27T14:30:00.123456",
      "2026-11-27T14:30:00Z",
      "14:30:00",
      12.34,
      '["a","b"]',
      '{"x":1,"y":"z"}',
    ],
    ["b", 1, "", false, "1969-12-31", "1960-01-01T00:00:00", "", "", "", "[]", ""],
    Array.from({ length: 11 }, () => ""),
  ]);
  expect(found).toEqual({ sheet: null, dates: [4, 5, 6] });
});

/** Written by pyarrow 26, like the other files. */
test("decimals, small floats, bytes and times of 96 bits keep what they are", async () => {
  const { rows, found } = await read("test/support/exact.parquet");
  expect(rows[0]?.join()).toBe("dec38,dec9,dec18,whole,f32,bytes,fixed,nested,word,old");
  expect(rows.slice(1)).toEqual([
    [
      "12345678901234567890123456.789",
      1.1,
      "1234567890123456.78",
      "9007199254740993",
      0.1,
      "abc",
      "ab",
      '{"raw":"/w=="}',
      "x",
      "2026-01-02T03:04:05",
    ],
    [-0.001, -12.34, 0, 7, -16_777_216, "AP8=", "//4=", '{"raw":"x"}', "y", "1960-01-01T00:00:00"],
    ["", "", "", "", 3.4e38, "", "", "", "x", ""],
  ]);
  expect(found?.dates).toEqual([9]);
});

test("decimals that no library writes take neither time nor memory", () => {
  const column = (more: Partial<SchemaElement>) => {
    const element = { name: "d", type: "BYTE_ARRAY", converted_type: "DECIMAL", scale: 2, ...more };
    const schema = [{ name: "root", num_children: 1 }, element];
    const metadata = { schema } as FileMetaData;
    return { column: columnsOf(metadata)[0]!, isPlain: withWholeDecimals(metadata) !== metadata };
  };
  const { column: usual, isPlain } = column({});
  expect([isPlain, cellOf(new Uint8Array([0x80]), usual)]).toEqual([true, -1.28]);
  expect(cellOf(new Uint8Array(1_000_000).fill(0xff), usual)).toHaveLength(1_333_336);
  expect([cellOf("x", usual), cellOf(1.5, usual)]).toEqual(["x", 1.5]);
  for (const more of [{ scale: 2_000_000_000 }, { scale: -1 }, { type: "DOUBLE" as const }])
    expect(column(more)).toMatchObject({ column: { scale: undefined }, isPlain: false });
});

test("a file without rows has its columns, and one with two columns of a name is refused", async () => {
  expect((await read("test/support/empty.parquet")).rows).toEqual([["a"]]);
  await expect(read("test/support/twins.parquet")).rejects.toThrow(
    'has two columns with the name "a"; rename one',
  );
});

test("a small file with too many rows, or too many in one group, is refused", async () => {
  await expect(read("test/support/tall.parquet")).rejects.toThrow(
    "has 10000001 rows; 10000000 is the most",
  );
  await expect(read("test/support/wide-group.parquet")).rejects.toThrow(
    "has 8000001 rows of 1 columns in row group 1; 8000000 cells in a group are the most",
  );
});

test("a file that is cut off or is not Parquet is refused", async () => {
  const whole = readFileSync(FILE);
  const broken = Buffer.from(whole);
  broken.fill(0xff, 100, 600);
  const claims = Buffer.from(whole);
  claims.writeUInt32LE(0xffff_fff0, claims.length - 8);
  const folder = mkdtempSync(join(tmpdir(), "parquet-"));
  for (const [i, bytes] of [
    whole.subarray(0, 500),
    broken,
    claims,
    Buffer.from("PAR1"),
  ].entries()) {
    const path = join(folder, `${i}.parquet`);
    writeFileSync(path, bytes);
    await expect(read(path)).rejects.toThrow(/is not a readable Parquet file|is damaged/);
  }
  rmSync(folder, { recursive: true });
});

/** A number in Thrift's compact protocol. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value * 2;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}

test("a page that claims two billion values is refused before memory is allocated", async () => {
  const page = (values: number, bytes: number) => [
    0x15,
    0,
    0x15,
    ...varint(bytes),
    0x15,
    0,
    0x2c,
    0x15,
    ...varint(values),
    0x15,
    0,
    0x15,
    6,
    0x15,
    6,
    0,
    0,
  ];
  const check = (head: number[]) => {
    const bytes = new Uint8Array(head);
    const file: AsyncBuffer = {
      byteLength: bytes.length,
      slice: (start, end) => bytes.slice(start, end).buffer,
    };
    const group = {
      columns: [
        { meta_data: { data_page_offset: 0n, total_compressed_size: BigInt(bytes.length) } },
      ],
    } as unknown as FileMetaData["row_groups"][number];
    return requireBoundedPages(file, group, "row group 1");
  };
  await check(page(1000, 8000));
  const tooMuch = /has more than .* unpacked in row group 1/;
  await expect(check(page(2_000_000_000, 8000))).rejects.toThrow(tooMuch);
  await expect(check(page(10, 2_000_000_000))).rejects.toThrow(tooMuch);
});
