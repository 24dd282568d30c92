import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { parse } from "csv-parse/sync";

import { type Json, startServer, type TestServer } from "../support/server.ts";

let app: TestServer;
beforeAll(async () => {
  app = await startServer();
});
afterAll(() => app[Symbol.asyncDispose]());

type Read = { batch: Json; prompts: string[]; csv: string[][]; json: Json[] };

let made = 0;

/** Creates a batch from a file. Returns the batch, the prompts of its tasks, and its results. */
async function read(
  file: string,
  content: string | Uint8Array,
  config: object = {},
): Promise<Read> {
  writeFileSync(join(app.filesDir, file), content);
  const id = `t${made++}`;
  const created = await app.post("/batches", { id, inputFile: file, config });
  if (created.status !== 201) throw new Error(created.text);
  const { data: batch } = (await app.get(`/batches/${id}?limit=100`)).body;
  const prompts = await Promise.all(
    batch.tasks.map(async (task: Json) => (await app.get(`/tasks/${task.id}`)).body.data.prompt),
  );
  const csv: string[][] = parse((await app.get(`/batches/${id}/results`)).text);
  const json: Json[] = (await app.get(`/batches/${id}/results?format=json`)).body;
  return { batch, prompts, csv, json };
}

/** Creates a batch that must be refused, checks that nothing was created, and returns the message. */
async function refused(file: string, content: string | Uint8Array, config: object = {}) {
  writeFileSync(join(app.filesDir, file), content);
  const id = `refused${made++}`;
  const { status, body } = await app.post("/batches", { id, inputFile: file, config });
  expect([status, body.error?.code]).toEqual([400, "VALIDATION_ERROR"]);
  expect((await app.get(`/batches/${id}`)).status).toBe(404);
  return body.error.message as string;
}

describe("a CSV file from the field", () => {
  test.each([
    ["commas", "id,prompt\na,x\nb,y\n", ","],
    ["semicolons", 'id;prompt\na;Hallo, Welt\nb;"y;z"\n', ";"],
    ["tabs", "id\tprompt\na\tHallo, Welt\nb\ty; z\n", "\t"],
    ["bars", "id|prompt\na|x, y\nb|z\n", "|"],
    ["commas in the texts alone", "id;prompt\na;1,5\nb;2,5\n", ";"],
    ["more semicolons in the texts than commas", "id,prompt\na,1;2;3;4\nb,1;2;3;4\n", ","],
    ["a sep= line", "sep=;\r\nid;prompt\r\na;x, y\r\nb;z\r\n", ";"],
    ["a sep= line with a separator that cannot be guessed", "sep=^\nid^prompt\na^x\nb^y\n", "^"],
    ["quoted headers", '"id";"the ""prompt"", here"\n"a";"x"\n"b";"y"\n', ";"],
  ])("is read where its cells are separated by %s", async (_, text, delimiter) => {
    const { batch, csv } = await read("d.csv", text, { promptTemplate: "hi" });
    expect(batch.input).toMatchObject({ format: "csv", delimiter, rows: 2, skipped: 0 });
    expect(csv.map(([id]) => id)).toEqual(["id", "a", "b"]);
    await app.del(`/batches/${batch.id}`);
  });

  test("is separated by tabs if its name ends in .tsv and its content does not tell", async () => {
    const { batch, prompts } = await read(
      "one-column.tsv",
      "prompt\nHello, world; and\nyou, too;\n",
    );
    expect(batch.input).toMatchObject({ delimiter: "\t", columns: ["prompt"], rows: 2 });
    expect(prompts).toEqual(["Hello, world; and", "you, too;"]);
  });

  test("has its header in the row of headerRow, and titles above it are left out", async () => {
    const text = 'Report;;\n;;\n"made\nby hand"\nid;prompt;x\na;b;1\n;;\nc;d;2\n';
    const csv = { headerRow: 4, delimiter: ";" };
    const { batch, prompts, csv: results } = await read("titles.csv", text, { csv });
    expect(batch.input).toMatchObject({ columns: ["id", "prompt", "x"], rows: 2, skipped: 1 });
    expect(prompts).toEqual(["b", "d"]);
    expect(results[0]?.slice(0, 3)).toEqual(["id", "prompt", "x"]);
    expect(await refused("titles.csv", text, { csv: { ...csv, headerRow: 2 } })).toContain(
      "has nothing in row 2, which headerRow says is the header",
    );
    expect(await refused("titles.csv", text, { csv: { ...csv, headerRow: 99 } })).toContain(
      "has nothing in row 99",
    );
    expect(await refused("titles.csv", text, { csv: { ...csv, header: false } })).toContain(
      "header: false",
    );
    await app.del(`/batches/${batch.id}`);
  });

  test("is read with the separator and header that the config gives", async () => {
    const { batch, prompts } = await read("reported.csv", "prompt;x\nb,c;d\n", {
      csv: { delimiter: "," },
    }).catch((error: unknown) => ({ batch: String(error), prompts: [] }));
    expect(batch).toContain("the row has 2 cells, the header 1");
    const bare = await read("reported.csv", "Paris;x\n\nRome;y\n", {
      csv: { header: false, delimiter: ";" },
      promptTemplate: "{{column_1}}!",
    });
    expect([prompts, bare.prompts]).toEqual([[], ["Paris!", "Rome!"]]);
    expect(bare.batch.input).toMatchObject({
      columns: ["column_1", "column_2"],
      rows: 2,
      skipped: 1,
    });
    expect(bare.csv[0]?.slice(0, 3)).toEqual(["column_1", "column_2", "status"]);
    const json = await refused("reported.jsonl", '{"prompt":"x"}\n', { csv: { header: false } });
    expect(json).toContain("reported.jsonl is JSON, not CSV");
  });

  test("may have any line ends between rows, also mixed, and keeps line ends inside quotes", async () => {
    for (const text of [
      "prompt\r\none\ntwo\rthree\n",
      'prompt\r"one"\r"two"\r"three"',
      "prompt\none\r\ntwo\r\nthree",
    ])
      expect((await read("l.csv", text)).prompts).toEqual(["one", "two", "three"]);
    const quoted = await read("l.csv", 'prompt\r\n"a\r\nb\rc\nd"\r\n');
    expect(quoted.prompts).toEqual(["a\r\nb\rc\nd"]);
  });

  test("may have blank rows, which are skipped, counted, and part of the numbering", async () => {
    const text = "\n,\ncity,language\nParis,French\n,\n\n ,  \nRome,Italian\n,,,\n";
    const { batch, prompts } = await read("b.csv", text, { promptTemplate: "{{city}}" });
    expect(prompts).toEqual(["Paris", "Rome"]);
    expect(batch.input).toMatchObject({ rows: 2, skipped: 4 });
    expect(batch.tasks.map(({ id }: Json) => id)).toEqual([`${batch.id}-1`, `${batch.id}-5`]);
    const message = await refused("b.csv", "id,prompt\n,\n,\nx,\n");
    expect(message).toBe("row 3, prompt: give a prompt or messages");
    expect(await refused("b.csv", "id,prompt\n,\n,\n")).toContain("no rows");
  });

  test("may have columns without names, and empty ones at the end", async () => {
    const pandas = await read("p.csv", ",prompt\n0,a\n1,b\n", {
      promptTemplate: "{{column_1}}: {{prompt}}",
    });
    expect(pandas.prompts).toEqual(["0: a", "1: b"]);
    expect(pandas.csv[0]?.slice(0, 3)).toEqual(["", "prompt", "status"]);
    expect(pandas.json[1]).toMatchObject({ column_1: "1", prompt: "b" });
    const excel = await read("p.csv", "prompt,n,,\na,1,,\nb,2\nc,3,,,,\n");
    expect(excel.batch.input.columns).toEqual(["prompt", "n"]);
    expect(excel.csv.map((cells) => cells.slice(0, 3))).toEqual([
      ["prompt", "n", "status"],
      ["a", "1", "pending"],
      ["b", "2", "pending"],
      ["c", "3", "pending"],
    ]);
    const note = await read("p.csv", "prompt,,\na,,\nb,a note,\n");
    expect(note.batch.input.columns).toEqual(["prompt", "column_2"]);
    expect(note.csv.map((cells) => cells.slice(0, 3))).toEqual([
      ["prompt", "", "status"],
      ["a", "", "pending"],
      ["b", "a note", "pending"],
    ]);
    expect(await refused("p.csv", "prompt,n\na,1\nHello, World,2\n")).toStartWith(
      "row 2: the row has 3 cells, the header 2",
    );
  });

  test("may have two columns with the same name, which are both in the results", async () => {
    const { prompts, csv, json } = await read("n.csv", "note,prompt,note, city \n1,a,2,Paris\n", {
      promptTemplate: "{{prompt}} {{note}} {{note_2}} {{city}}",
    });
    expect(prompts).toEqual(["a 1 2 Paris"]);
    expect(csv[0]?.slice(0, 5)).toEqual(["note", "prompt", "note", " city ", "status"]);
    expect(csv[1]?.slice(0, 4)).toEqual(["1", "a", "2", "Paris"]);
    expect(json[0]).toMatchObject({ note: "1", note_2: "2" });
  });
});

describe("the encoding of a file", () => {
  const text = "id,prompt\na,Grüße – 100 €\n";
  const windows = Buffer.from("id,prompt\na,Gr\xfc\xdfe \x96 100 \x80\n", "latin1");

  test.each([
    ["utf-8", Buffer.from(text)],
    ["utf-8", Buffer.from(`\uFEFF${text}`)],
    ["utf-16le", Buffer.from(`\uFEFF${text}`, "utf16le")],
    ["utf-16le", Buffer.from(text, "utf16le")],
    ["utf-16be", Buffer.from(`\uFEFF${text}`, "utf16le").swap16()],
    ["utf-16be", Buffer.from(text, "utf16le").swap16()],
    ["windows-1252", windows],
  ])("is detected: %s", async (encoding, bytes) => {
    const { batch, prompts } = await read("e.csv", bytes);
    expect(batch.input).toMatchObject({ encoding, columns: ["id", "prompt"] });
    expect(prompts).toEqual(["Grüße – 100 €"]);
    await app.del(`/batches/${batch.id}`);
  });

  test("is detected even if the first telling character comes late", async () => {
    const late = Buffer.concat([
      Buffer.from(`prompt\n${`${"plain ".repeat(50_000)}\n`.repeat(4)}`),
      Buffer.from("caf\xe9\n", "latin1"),
    ]);
    writeFileSync(join(app.filesDir, "late.csv"), late);
    const { body } = await app.post("/batches", { id: "late", inputFile: "late.csv" });
    expect(body.data.taskCount).toBe(5);
    expect((await app.get("/tasks/late-5")).body.data.prompt).toBe("café");
  });

  test.each([
    ["Russian in Windows-1251", "\xcf\xf0\xe8\xe2\xe5\xf2, \xec\xe8\xf0"],
    ["Polish in Windows-1250", "Wa\xb3\xeasa, \xb3\xf3d\xbc, \xbf\xf3\xb3w, pami\xea\xe6"],
    ["Japanese in Shift_JIS", "\x93\x8c\x8b\x9e\x82\xcc\x90l"],
    ["UTF-8 with a part of another encoding", "Gr\xc3\xbc\xc3\x9fe, Gr\xfc\xdfe"],
    ["bytes that are not text", "\x81\x8d\x90\xff\xfe"],
  ])("is not guessed: %s", async (_, bytes) => {
    const plain = "hello\n".repeat(20_000);
    const file = Buffer.from(`prompt\n${plain}"${bytes}"\n${plain}`, "latin1");
    const message = await refused("e.csv", file);
    expect(message).toContain("is not valid UTF-8 in line 20002, and");
    expect(message).toContain("config.csv.encoding");
  });

  test("of a file with a very long line is refused without a line", async () => {
    const line = Buffer.concat([Buffer.alloc(17_000_000, "a"), Buffer.from([0xff])]);
    const message = await refused("long.csv", Buffer.concat([Buffer.from("prompt\né"), line]));
    expect(message).toContain("is not valid UTF-8, and its encoding cannot be detected");
  });

  test("is taken from the config, and refused if the bytes contradict it", async () => {
    const russian = Buffer.from("prompt\n\xcf\xf0\xe8\xe2\xe5\xf2\n", "latin1");
    const { prompts } = await read("e.csv", russian, { csv: { encoding: "cp1251" } });
    expect(prompts).toEqual(["Привет"]);
    const latin = await read("e.jsonl", Buffer.from('{"prompt":"caf\xe9"}\n', "latin1"));
    expect(latin.prompts).toEqual(["café"]);
    expect(await refused("e.csv", russian, { csv: { encoding: "utf-8" } })).toContain(
      "not valid UTF-8 in line 2; save it as UTF-8",
    );
    expect(await refused("e.csv", russian, { csv: { encoding: "ebcdic-37" } })).toContain(
      "not the name of an encoding",
    );
  });
});

describe("a file whose ids are those of another batch's tasks", () => {
  test("is accepted, because many files number their rows from 1", async () => {
    const text = "id,prompt\n007,a\n2,b\n,c\n";
    const first = await read("numbered.csv", text);
    expect(first.batch.tasks.map(({ id }: Json) => id)).toEqual([
      "007",
      "2",
      `${first.batch.id}-3`,
    ]);
    expect(first.batch.input).not.toHaveProperty("idPrefix");

    // If one id is taken, all ids get the prefix of the batch.
    const second = await read("other.csv", "id,prompt\n1,a\n2,d\n");
    const prefix = `${second.batch.id}.`;
    expect(second.batch.input).toMatchObject({ idPrefix: prefix, rows: 2 });
    expect(second.batch.tasks.map(({ id }: Json) => id)).toEqual([`${prefix}1`, `${prefix}2`]);
    expect(second.csv.map(([id]) => id)).toEqual(["id", "1", "2"]);
    const refusal = await app.post("/batches", { inputFile: "other.csv", scopedIds: false });
    expect([refusal.status, refusal.text]).toEqual([
      400,
      expect.stringContaining("is the id of another task"),
    ]);
  });

  test("is refused if an id occurs twice in it, or is taken even with the batch's prefix", async () => {
    await app.post("/tasks", { id: "9", prompt: "x" });
    expect(await refused("twice.csv", "id,prompt\n9,a\n10,b\n10,c\n")).toBe(
      "row 3, id: 10 is the id of row 2 already",
    );
    await app.post("/tasks", { id: `refused${made}.9`, prompt: "x" });
    expect(await refused("nine.csv", "id,prompt\n9,a\n")).toContain("is the id of another task");
  });

  test("is refused for an idempotency key that was used before, and for the id of a task outside of the batch that it fills", async () => {
    const keyed = "id,prompt,idempotency_key\n21,a,row-key\n";
    await read("keyed.csv", keyed);
    expect(await refused("keyed.csv", keyed)).toContain("idempotencyKey: was used before");
    await app.post("/tasks", { id: "31", prompt: "x", batchId: "filled" });
    await app.post("/tasks", { id: "32", prompt: "x" });
    writeFileSync(join(app.filesDir, "filled.csv"), "id,prompt\n31,a\n32,b\n");
    const { body } = await app.post("/batches", { id: "filled", inputFile: "filled.csv" });
    expect(body.error.message).toBe("row 2, id: 32 is the id of another task already");
  });
});

describe("a JSON file", () => {
  test("may be an array of objects in any layout, with numbers kept to the last digit", async () => {
    const text =
      '\uFEFF[ {"prompt": "a, [b] \\"{\\\\", "n": 12345678901234567890},\r\n\t{\n  "prompt" : "c",\n' +
      '  "n":1.50, "deep": {"x": [1,\n 2]}\n}\n]\n';
    const { batch, prompts, csv } = await read("rows.json", text, {
      promptTemplate: "{{prompt}} {{n}}",
    });
    expect(batch.input).toMatchObject({
      format: "json",
      rows: 2,
      skipped: 0,
      columns: ["prompt", "n", "deep"],
    });
    expect(prompts).toEqual(['a, [b] "{\\ 12345678901234567890', "c 1.50"]);
    const jsonl = (await app.get(`/batches/${batch.id}/results?format=jsonl`)).text.split("\n");
    expect(jsonl[1]).toStartWith('{"prompt" : "c", "n":1.50, "deep": {"x": [1, 2]},"taskId"');
    expect(csv[1]?.slice(0, 3)).toEqual(['a, [b] "{\\', "12345678901234567890", ""]);
  });

  test.each([
    ['[{"prompt":"a"},{"prompt":"b"}', "cut off: after element 1"],
    ['[{"prompt":"a"}] {"prompt":"b"}', "text behind the JSON array"],
    ['[{"prompt":"a"},,{"prompt":"b"}]', "row 2: is not valid JSON"],
    ['[{"prompt":"a"},]', "row 2: is not valid JSON"],
    ['[{"prompt":"a","n":NaN}]', 'row 1: is not valid JSON: Unexpected identifier "NaN"'],
    ['[{"prompt":"a"}, 7]', "row 2: must be a JSON object"],
    ["[]", "no rows"],
    ['[{"prompt":"a"}}', "cut off"],
  ])("is refused: %s", async (text, message) => {
    expect(await refused("bad.json", text)).toContain(message);
  });

  test("may have numbers as ids, blank lines and a byte order mark", async () => {
    const text = '\uFEFF{"id":17,"prompt":"a"}\n\n{"id":12345678901234567890,"prompt":"b"}\n';
    const { batch, json } = await read("ids.jsonl", text);
    expect(batch.tasks.map(({ id }: Json) => id)).toEqual(["17", "12345678901234567890"]);
    expect(batch.input).toMatchObject({ format: "jsonl", rows: 2, skipped: 1 });
    expect(json).toHaveLength(2);
  });

  test.each(["omits.json", "omits.jsonl"])(
    "%s may omit members that other rows have: they are empty, as cells of a table are",
    async (file) => {
      const rows = ['{"city":"Oslo"}', '{"city":"Lima","note":"warm"}', '{"tag":1,"city":"Rome"}'];
      const text = file.endsWith("l") ? rows.join("\n") : `[${rows.join(",\n")}]`;
      const config = { promptTemplate: "{{city}}: {{note}}", onlyIf: "{{note}} != 'cold'" };
      const { batch, prompts, csv } = await read(file, text, config);
      expect(prompts).toEqual(["Oslo: ", "Lima: warm", "Rome: "]);
      expect(batch.input).toMatchObject({ columns: ["city", "note", "tag"], rows: 3 });
      expect(csv.slice(1).map((cells) => cells.slice(0, 3))).toEqual([
        ["Oslo", "", ""],
        ["Lima", "warm", ""],
        ["Rome", "", "1"],
      ]);
      // What no row has is probably misspelt.
      const unknown = { promptTemplate: "{{city}}: {{notes}}" };
      expect(await refused(file, text, unknown)).toBe(
        "config.promptTemplate: unknown variable {{notes}}; there are city, note, tag",
      );
      expect(await refused(file, text, { ...config, onlyIf: "{{Tag}} == 1" })).toStartWith(
        "config.onlyIf: unknown variable {{Tag}}",
      );
    },
  );

  test("may have messages in rows that omit what the template of the other rows needs", async () => {
    const message = '{"messages":[{"role":"user","content":"whole"}]}';
    const config = { promptTemplate: "{{city}}" };
    const { json } = await read("mixed.jsonl", `${message}\n{"city":"Oslo"}\n`, config);
    expect(json).toHaveLength(2);
    // Without messages such a row has nothing to send.
    expect(await refused("mixed.jsonl", '{"note":"x"}\n{"city":"Oslo"}\n', config)).toBe(
      "row 1, prompt: give a prompt or messages",
    );
  });

  test("has lists, objects and null as values for templates", async () => {
    const values = '"n":1.50,"tags":["a",{"b":1.0}],"none":null,"yes":true';
    const config = { promptTemplate: "{{n}} {{tags}} <{{none}}> {{yes}}" };
    const { prompts, csv } = await read("v.json", `[{${values}}]`, config);
    expect(prompts).toEqual(['1.50 ["a",{"b":1.0}] <> true']);
    expect(csv[1]?.slice(0, 4)).toEqual(["1.50", '["a",{"b":1.0}]', "", "true"]);
    expect((await read("v.jsonl", `{${values}}\n`, config)).prompts).toEqual(prompts);
    const tasks = [{ metadata: JSON.parse(`{${values}}`) }];
    const { id } = (await app.post("/batches", { tasks, config })).body.data;
    const { prompt } = (await app.get(`/tasks/${id}-1`)).body.data;
    expect(prompt).toBe('1.5 ["a",{"b":1}] <> true');
  });

  test("may have lines in the batch formats of Azure and Mistral", async () => {
    const messages = [{ role: "user", content: "hi" }];
    const lines = [
      { custom_id: "a", method: "POST", url: "/chat/completions", body: { model: "m", messages } },
      { custom_id: "0", body: { max_tokens: 5, messages } },
      { custom_id: 7, url: "/embeddings", body: { model: "e", input: "x" } },
    ];
    const { batch } = await read("z.jsonl", lines.map((line) => JSON.stringify(line)).join("\n"));
    const tasks = await app.ctx.client.execute(
      "SELECT endpoint, t.model FROM task_inputs i JOIN tasks t ON t.seq = i.task " +
        `JOIN batches b ON b.seq = t.batch WHERE b.id = '${batch.id}' ORDER BY position`,
    );
    expect(tasks.rows.map(({ endpoint, model }) => [endpoint, model])).toEqual([
      ["/v1/chat/completions", "m"],
      ["/v1/chat/completions", app.ctx.config.defaultModel],
      ["/v1/embeddings", "e"],
    ]);
    const line = JSON.stringify({ custom_id: "a", body: { input: "x" } });
    expect(await refused("z.jsonl", line)).toContain("row 1, url: must be given");
  });
});
