import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { raiseAlert } from "../../src/services/alerts.ts";
import { type Json, startServer, type TestServer } from "../support/server.ts";

/*
 * Reads the pages of every list in the OpenAPI document, with each set of filters in each order. `test/plans` checks the
 * query plans.
 */

/** Creates two or more entries for each list, by its path. */
type Lists = Record<string, string>;

let app: TestServer;
let lists: Lists;

beforeAll(async () => {
  app = await startServer();
  lists = await givenLists();
});

afterAll(() => app[Symbol.asyncDispose]());

async function givenLists(): Promise<Lists> {
  writeFileSync(join(app.filesDir, "in.csv"), "prompt\nx\n");
  const form =
    '--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nprompt\r\nx\r\n--x--\r\n';
  const twice = async (path: string, body: unknown, headers?: Record<string, string>) => {
    await app.post(path, body, headers);
    const { status, body: second } = await app.post(path, body, headers);
    expect([path, status]).toEqual([path, 201]);
    return second.data.id as string;
  };
  await twice("/api-keys", { name: "k" });
  await twice("/files", form, { "content-type": "multipart/form-data; boundary=x" });
  const batch = await twice("/batches", { name: "b", tasks: [{ prompt: "a" }, { prompt: "b" }] });
  const webhook = await twice("/webhooks", { url: "https://hooks.invalid", events: ["*"] });
  const schedule = await twice("/scheduled-tasks", {
    name: "s",
    schedule: "0 0 1 1 *",
    inputFile: "in.csv",
  });
  for (let i = 0; i < 2; i++) {
    await app.post(`/scheduled-tasks/${schedule}/run`);
    await app.post(`/webhooks/${webhook}/test`);
    await raiseAlert(app.ctx, { code: "disk.nearly_full", subject: `volume ${i}`, message: "x" });
  }
  return {
    "/api/v1/batches/{id}": `/api/v1/batches/${batch}`,
    "/api/v1/webhooks/{id}/deliveries": `/api/v1/webhooks/${webhook}/deliveries`,
    "/api/v1/scheduled-tasks/{id}/runs": `/api/v1/scheduled-tasks/${schedule}/runs`,
  };
}

test("every list works with each set of its filters, in each order, on the first page and on later ones", async () => {
  const { paths, components } = (await app.get(`${app.url}/openapi.json`)).body;
  let asked = 0;
  for (const [path, { get }] of Object.entries<Json>(paths)) {
    const parameters: Json[] = get?.parameters?.filter((one: Json) => one.in === "query") ?? [];
    const named = (name: string) => parameters.find((one) => one.name === name)?.schema;
    if (!named("cursor")) continue;
    const filters = parameters
      .filter(({ name }) => !["page", "limit", "cursor", "sort", "order"].includes(name))
      .map(({ name, schema }) =>
        valuesOf(name, schema, components.schemas).map((value) => `&${name}=${value}`),
      );
    for (const order of ordersOf(named)) {
      const url = `${lists[path] ?? path}?limit=1${order}`;
      const first = await app.get(url);
      const { nextCursor } = first.body.data.pagination;
      expect([url, typeof nextCursor]).toEqual([url, "string"]);
      const pages = setsOf(filters).flatMap((set) => [set, `${set}&cursor=${nextCursor}`]);
      for (const page of [...pages, "&page=2"]) {
        expect([page, (await app.get(url + page)).status]).toEqual([page, 200]);
        asked++;
      }
    }
  }
  expect(asked).toBeGreaterThan(400);
});

test("every list refuses pages beyond the first ten thousand rows, and names the cursor", async () => {
  const { paths } = (await app.get(`${app.url}/openapi.json`)).body;
  const refused: string[] = [];
  for (const [path, { get }] of Object.entries<Json>(paths)) {
    if (!get?.parameters?.some(({ name }: Json) => name === "page")) continue;
    const url = lists[path] ?? path;
    expect([url, (await app.get(`${url}?limit=100&page=101`)).status]).toEqual([url, 200]);
    const { status, body } = await app.get(`${url}?limit=100&page=102`);
    expect([url, status, body.error.message]).toEqual([
      url,
      400,
      expect.stringContaining("`cursor`"),
    ]);
    refused.push(path);
  }
  expect(refused.length).toBeGreaterThan(8);
});

function ordersOf(named: (name: string) => Json): string[] {
  const sorts: string[] = named("sort")?.enum ?? [];
  const orders: string[] = named("order")?.enum ?? [];
  if (sorts.length === 0) return [""];
  return sorts.flatMap((sort) => orders.map((order) => `&sort=${sort}&order=${order}`));
}

/** Queries for waiting and running tasks differ from those for tasks that have ended. */
function valuesOf(name: string, schema: Json, schemas: Json): string[] {
  const known = schema.$ref ? schemas[schema.$ref.split("/").at(-1)] : schema;
  if (known.enum) return known.enum.slice(0, 3);
  if (known.type === "boolean") return ["true"];
  return [/^(created|since)/.test(name) ? "2026-01-01T00:00:00Z" : "x"];
}

/** Every combination of one value, or none, for each filter. */
function setsOf(filters: string[][]): string[] {
  return filters.reduce(
    (sets, values) => sets.flatMap((set) => ["", ...values].map((value) => set + value)),
    [""],
  );
}
