import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import addFormats from "ajv-formats";
import Ajv2020 from "ajv/dist/2020.js";
import fc from "fast-check";

import { spoiled, valuesOf } from "../support/schema-arbitrary.ts";
import { type Json, KEY, startServer, type TestServer } from "../support/server.ts";

/** The number of requests for each operation; `FUZZ_RUNS=1000` makes more. */
const RUNS = Number(process.env["FUZZ_RUNS"] ?? 40);

type Operation = { name: string; method: string; path: string; spec: Json };
type Call = {
  name: string;
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string | undefined;
};

describe("every operation of the OpenAPI document", () => {
  test("answers any request as documented, and never with a 5xx", async () => {
    await using app = await startServer({ LOG_LEVEL: "error", MAX_BODY_BYTES: "20000" });
    const document = (await app.get(`${app.url}/openapi.json`)).body;
    const world = await givenWorld(app);
    const operations = operationsOf(document);
    const judge = createJudge(document);
    const calls = fc
      .constantFrom(...operations)
      .chain((operation) => callsOf(operation, document, world));
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(calls, async (call) => {
        const { status, type, text } = await send(app.url, call);
        seen.add(`${call.name} ${status}`);
        const complaint = judge(call.name, status, type, text);
        if (complaint !== undefined)
          throw new Error(`${call.name}: ${complaint}\n${text.slice(0, 500)}`);
      }),
      { numRuns: RUNS * operations.length, endOnFailure: false },
    );
    const operationsThatSucceeded = new Set(
      [...seen].filter((line) => / 2\d\d$/.test(line)).map((line) => line.slice(0, -4)),
    );
    // Without successes the test would not check successful answers.
    expect(operationsThatSucceeded.size).toBeGreaterThan(operations.length / 2);
    expect(await app.differences()).toEqual([]);
    expect((await app.get("/tasks")).status).toBe(200);
  }, 240_000);
});

function operationsOf(document: Json): Operation[] {
  return Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
    Object.entries<Json>(methods).map(([method, spec]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      spec,
    })),
  );
}

/** Existing resources, by their path, and keys of every kind. */
async function givenWorld(app: TestServer) {
  const keyOf = async (scope: string) =>
    (await app.post("/api-keys", { name: scope, scopes: [scope] })).body.data;
  const reader = await keyOf("read");
  const writer = await keyOf("write");
  const spare = await keyOf("read");
  const tasks = ["t1", "t2", "t3", "t4"];
  for (const id of tasks) await app.post("/tasks", { id, prompt: "x" });
  const ran = await app.post("/tasks?execute=true", { id: "ran", prompt: "x" });
  const batches = ["b1", "b2", "b3", "b4", "b5", "b6"];
  for (const id of batches) await app.post("/batches", { id, tasks: [{ prompt: "a" }] });
  const csv =
    '--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nprompt\r\nx\r\n--x--\r\n';
  const uploads = await Promise.all(
    Array.from({ length: 4 }, () =>
      app.post("/files", csv, { "content-type": "multipart/form-data; boundary=x" }),
    ),
  );
  writeFileSync(join(app.filesDir, "fuzz.csv"), "prompt\nx\n");
  const schedules = await Promise.all(
    Array.from({ length: 3 }, () =>
      app.post("/scheduled-tasks", { name: "s", schedule: "0 0 1 1 *", inputFile: "fuzz.csv" }),
    ),
  );
  const webhook = await app.post("/webhooks", {
    url: "https://hooks.invalid/x",
    events: ["system.alert"],
  });
  const ids: Record<string, string[]> = {
    webhooks: [webhook.body.data.id],
    "scheduled-tasks": schedules.map(({ body }) => body.data.id),
    tasks: [...tasks, "ran"],
    batches,
    executions: [ran.body.data.executionId],
    "api-keys": [spare.id],
    files: uploads.map(({ body }) => body.data.id),
  };
  return {
    ids,
    keys: [KEY, KEY, KEY, KEY, writer.key as string, reader.key as string, "wrong", ""],
  };
}

type World = Awaited<ReturnType<typeof givenWorld>>;

/** Requests that should succeed, and requests with any error. */
function callsOf(operation: Operation, document: Json, world: World): fc.Arbitrary<Call> {
  const { name, method, path, spec } = operation;
  const toCall = (made: {
    ids: string[];
    query: Record<string, unknown>;
    headers: Record<string, string>;
    key: string;
    body: Body;
  }): Call => {
    const headers = { ...made.headers };
    if (made.key !== "") headers["authorization"] = `Bearer ${made.key}`;
    if (made.body) headers["content-type"] = made.body.type;
    const url = urlOf(path, made.ids, made.query);
    return { name, method, url, headers, body: made.body?.text };
  };
  const noun = path.split("/")[3] ?? "";
  const known = fc.constantFrom(...(world.ids[noun] ?? ["none"]));
  const odd = fc.oneof(
    known,
    fc.constant("none"),
    fc.string({ minLength: 1, maxLength: 120, unit: "grapheme" }),
  );
  const tame = fc.record({
    ids: fc.array(known, { minLength: 2, maxLength: 2 }),
    query: queriesOf(spec, document, false),
    headers: fc.constant({}),
    key: fc.constant(KEY),
    body: bodiesOf(spec, document, false),
  });
  const wild = fc.record({
    ids: fc.array(odd, { minLength: 2, maxLength: 2 }),
    query: queriesOf(spec, document, true),
    headers: fc.record(ODD_HEADERS, { requiredKeys: [] }),
    key: fc.constantFrom(...world.keys),
    body: bodiesOf(spec, document, true),
  });
  return fc.oneof(tame, wild).map(toCall);
}

const ODD_HEADERS = {
  "idempotency-key": fc.constantFrom("k1", '"k2"', "", "x".repeat(300)),
  prefer: fc.constantFrom("wait=1", "wait=x", "return=minimal"),
  "x-request-id": fc.constantFrom("mine", "not mine", "é"),
  accept: fc.constantFrom("*/*", "text/html", "application/json"),
  "last-event-id": fc.constantFrom("1", "-1", "x"),
};

/** Cursors and tokens come from answers. Invented ones are refused. */
const NEVER_RIGHT = new Set(["cursor", "access_token"]);

/** Parameters whose patterns mostly describe values that are out of range. */
const TAME_QUERY: Record<string, fc.Arbitrary<unknown>> = {
  page: fc.integer({ min: 1, max: 3 }),
  limit: fc.integer({ min: 1, max: 100 }),
};

function queriesOf(
  spec: Json,
  document: Json,
  isWild: boolean,
): fc.Arbitrary<Record<string, unknown>> {
  const made: Record<string, fc.Arbitrary<unknown>> = {};
  const required: string[] = [];
  for (const parameter of (spec.parameters ?? []) as Json[]) {
    if (parameter.in !== "query" || (!isWild && NEVER_RIGHT.has(parameter.name))) continue;
    const values = TAME_QUERY[parameter.name] ?? valuesOf(parameter.schema, document);
    const text = fc.string({ maxLength: 20, unit: "grapheme" });
    made[parameter.name] = isWild ? fc.oneof({ weight: 2, arbitrary: values }, text) : values;
    if (parameter.required) required.push(parameter.name);
  }
  return fc.record(made, { requiredKeys: required });
}

type Body = { type: string; text: string } | undefined;

function bodiesOf(spec: Json, document: Json, isWild: boolean): fc.Arbitrary<Body> {
  const content = spec.requestBody?.content;
  if (content === undefined) return fc.constant(undefined);
  if (content["multipart/form-data"]) return fc.constantFrom<Body>(...UPLOADS);
  const valid = valuesOf(content["application/json"]?.schema, document);
  const asJson = (value: unknown) => ({
    type: "application/json",
    text: JSON.stringify(value) ?? "",
  });
  if (!isWild) return valid.map(asJson);
  return fc.oneof(
    { weight: 6, arbitrary: spoiled(valid).map(asJson) },
    { weight: 3, arbitrary: valid.map(asJson) },
    fc.jsonValue().map(asJson),
    fc.string().map((text) => ({ type: "application/json", text })),
    fc.constantFrom<Body>(...ODD_BODIES),
  );
}

const ODD_BODIES: Body[] = [
  undefined,
  { type: "text/plain", text: "{}" },
  { type: "application/json", text: `"${"x".repeat(30_000)}"` },
];

const UPLOADS: Body[] = [
  undefined,
  { type: "multipart/form-data", text: "--x" },
  { type: "multipart/form-data; boundary=x", text: "--x\r\n\r\n" },
  { type: "application/json", text: "{}" },
  {
    type: "multipart/form-data; boundary=x",
    text: '--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nprompt\r\nx\r\n--x--\r\n',
  },
];

function urlOf(path: string, ids: string[], query: Record<string, unknown>): string {
  let next = 0;
  const filled = path.replaceAll(/\{[^}]+\}/g, () => {
    const id = ids[next++] ?? "none";
    // A URL cannot contain these two segments: the client resolves them to another path.
    return id === "." || id === ".." ? "none" : encodeURIComponent(id);
  });
  const search = new URLSearchParams(
    Object.entries(query).map(([name, value]) => [
      name,
      typeof value === "string" ? value : (JSON.stringify(value) ?? ""),
    ]),
  );
  return `${filled}?${search}`;
}

/** Sends a request. Of a stream, it reads only the head. */
async function send(base: string, { method, url, headers, body }: Call) {
  const answer = await fetch(base + url, {
    method,
    headers,
    redirect: "manual",
    ...(body === undefined ? {} : { body }),
  });
  const type = answer.headers.get("content-type")?.split(";")[0] ?? "";
  if (type !== "text/event-stream")
    return { status: answer.status, type, text: await answer.text() };
  await answer.body?.cancel();
  return { status: answer.status, type, text: "" };
}

/** The problem of an answer, if there is one. */
function createJudge(document: Json) {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats(ajv);
  ajv.addSchema({ $id: "api", components: document.components });
  const validators = new Map<string, ReturnType<typeof ajv.compile>>();
  const schemas = JSON.parse(
    JSON.stringify(document.paths).replaceAll('"#/components', '"api#/components'),
  );
  const failures = JSON.parse(
    JSON.stringify(document.components.responses).replaceAll('"#/components', '"api#/components'),
  );
  return (name: string, status: number, type: string, text: string): string | undefined => {
    const [method = "", path = ""] = name.split(" ");
    if (status >= 500 && status !== 503) return `answered ${status}`;
    const given = schemas[path][method.toLowerCase()].responses[status];
    const named =
      String(given?.$ref ?? "")
        .split("/")
        .at(-1) ?? "";
    const documented = failures[named] ?? given;
    if (documented === undefined) return `answered ${status}, which is not documented`;
    const schema = documented.content?.[type]?.schema;
    if (schema === undefined) return `answered ${status} as ${type}, which is not documented`;
    if (type !== "application/json") return undefined;
    const key = `${name} ${status}`;
    const validate = validators.get(key) ?? ajv.compile(schema);
    validators.set(key, validate);
    if (validate(JSON.parse(text))) return undefined;
    return `the ${status} is not as documented: ${ajv.errorsText(validate.errors)}`;
  };
}
