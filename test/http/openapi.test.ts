import { describe, expect, test } from "bun:test";

import { EVENT_TYPES } from "../../src/domain/event.ts";
import { type Json, startServer } from "../support/server.ts";

type Operation = { name: string; method: string; path: string; spec: Json };

const document = (async (): Promise<Json> => {
  await using app = await startServer();
  return (await app.get(`${app.url}/openapi.json`)).body;
})();

const operations = document.then(({ paths }): Operation[] =>
  Object.entries<Json>(paths).flatMap(([path, methods]) =>
    Object.entries<Json>(methods).map(([method, spec]) => ({
      name: `${method} ${path}`,
      method,
      path,
      spec,
    })),
  ),
);

describe("the OpenAPI document", () => {
  test("has a unique name for each operation, with a verb that generators turn into a method", async () => {
    const ids = (await operations).map(({ spec }) => spec.operationId);
    expect(ids.length).toBeGreaterThan(60);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^[a-z]+[A-Z][A-Za-z]+$/);
    expect(ids).toEqual(
      expect.arrayContaining(["createTask", "listBatches", "executeBatch", "updateScheduledTask"]),
    );
    // The same thing has the same name everywhere.
    expect(ids.filter((id) => /^(change|patch|fetch|remove|revoke|start)/.test(id))).toEqual([]);
  });

  test("declares every tag, and links to the licence", async () => {
    const { tags, info } = await document;
    const used = new Set((await operations).flatMap(({ spec }) => spec.tags));
    expect(tags.map(({ name }: Json) => name).toSorted()).toEqual([...used].toSorted());
    expect(info.license.url).toMatch(/^https:/);
  });

  test("has patterns that other languages can read, without the flags of JavaScript", async () => {
    const patterns = [...JSON.stringify(await document).matchAll(/"pattern":("(?:[^"\\]|\\.)*")/g)];
    expect(patterns.length).toBeGreaterThan(2);
    for (const [, text = ""] of patterns) expect(JSON.parse(text)).not.toMatch(/\/[a-z]+$/);
  });

  test("lists the types of events wherever a client names some", async () => {
    const { components } = await document;
    const streams = (await operations).flatMap(({ spec }) => spec.parameters ?? []);
    const texts = [
      components.schemas.WebhookCreation.properties.events.description,
      components.schemas.WebhookUpdate.properties.events.description,
      components.schemas.EventTokenRequest.properties.types.description,
      ...streams.filter(({ name }: Json) => name === "types").map((one: Json) => one.description),
    ];
    expect(texts.length).toBe(6);
    for (const text of texts)
      expect(text?.match(/\b[a-z_]+\.[a-z]+\b/g)).toEqual(expect.arrayContaining([...EVENT_TYPES]));
  });

  test("describes the headers of every answer", async () => {
    const { components } = await document;
    for (const { name, spec } of await operations)
      for (const [status, given] of Object.entries<Json>(spec.responses)) {
        const response = resolve(components, given);
        const headers = Object.keys(response.headers ?? {});
        const wanted = ["X-Request-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining"];
        if (status === "429" || status === "503") wanted.push("Retry-After");
        if (status === "401") wanted.push("WWW-Authenticate");
        if (status === "405") wanted.push("Allow");
        expect([name, status, headers]).toEqual([name, status, expect.arrayContaining(wanted)]);
      }
  });

  test("documents 405 everywhere and 415 for every operation with a body", async () => {
    for (const { name, method, spec } of await operations) {
      const statuses = Object.keys(spec.responses);
      expect([name, statuses.includes("405")]).toEqual([name, true]);
      expect([name, statuses.includes("415")]).toEqual([name, method !== "get"]);
    }
  });

  test("gives parameters and fields the types that they have, defaults included", async () => {
    const wrong: string[] = [];
    eachSchema(await document, (schema, at) => {
      if (schema.default === undefined || typeof schema.type !== "string") return;
      if (!isOfType(schema.default, schema.type)) wrong.push(at);
    });
    expect(wrong).toEqual([]);
    const types = new Map<string, string>();
    for (const { spec } of await operations)
      for (const { name, schema } of spec.parameters ?? []) types.set(name, schema.type);
    for (const name of ["page", "limit"]) expect(types.get(name)).toBe("integer");
    for (const name of ["execute", "isDryRun", "force", "safe", "isActive", "includeRevoked"])
      expect([name, types.get(name)]).toEqual([name, "boolean"]);
  });

  test("puts nothing beside a $ref, and keeps null out of shared schemas", async () => {
    const wrong: string[] = [];
    eachSchema(await document, (schema, at) => {
      if ("$ref" in schema && Object.keys(schema).length > 1) wrong.push(at);
      // Generators cannot merge an allOf with a schema that is not an object.
      if (schema.allOf?.some((one: Json) => !("$ref" in one) && !one.properties)) wrong.push(at);
    });
    const { schemas } = (await document).components;
    for (const [name, schema] of Object.entries<Json>(schemas))
      if (Array.isArray(schema.type)) wrong.push(name);
    expect(wrong).toEqual([]);
  });

  test("names every nested object", async () => {
    const { schemas } = (await document).components;
    for (const name of ["TaskResult", "ToolCall", "TokenUsage", "Message", "BatchConfig"])
      expect([name, schemas[name] !== undefined]).toEqual([name, true]);
    const unnamed: string[] = [];
    eachSchema(await document, (schema, at) => {
      const isEnvelope = schema.properties?.success !== undefined;
      const isNamed = /^\/components\/schemas\/\w+(\/allOf\/\d)?$/.test(at);
      const hasFields = Object.keys(schema.properties ?? {}).length > 0;
      if (hasFields && !isEnvelope && !isNamed) unnamed.push(at);
    });
    expect(unnamed).toEqual([]);
  });

  test("has an optional body if none of its fields is required", async () => {
    const { components } = await document;
    for (const { name, method, spec } of await operations) {
      const schema = spec.requestBody?.content?.["application/json"]?.schema;
      if (schema === undefined) continue;
      const needed = resolve(components, schema).required ?? [];
      const isFree =
        needed.length === 0 &&
        (method === "patch" || /execute|pause|retry|rotate|run$|token/.test(name));
      expect([name, spec.requestBody.required]).toEqual([name, !isFree]);
    }
  });
});

function resolve(components: Json, given: Json): Json {
  if (given.$ref === undefined) return given;
  const [, , kind = "", name = ""] = String(given.$ref).split("/");
  return components[kind][name];
}

/** Calls `look` with every schema of the document and its path. Examples are not schemas. */
function eachSchema(value: Json, look: (schema: Json, at: string) => void, at = ""): void {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) look(value, at);
  for (const [key, item] of Object.entries(value))
    if (key !== "example") eachSchema(item, look, `${at}/${key}`);
}

function isOfType(value: unknown, type: string): boolean {
  if (type === "integer") return Number.isInteger(value);
  if (type === "array") return Array.isArray(value);
  return typeof value === type;
}
