import type { OpenAPIHono } from "@hono/zod-openapi";

import packageJson from "../../package.json" with { type: "json" };
import { SCOPES } from "../domain/scope.ts";
import { registerHeaders } from "./answer-headers.ts";
import { registerFailures } from "./failures.ts";
import type { AppEnv } from "./router.ts";

const ABOUT = {
  openapi: "3.1.0",
  info: {
    title: "GPT Task Runner",
    version: packageJson.version,
    description: packageJson.description,
    license: { name: "MIT", url: "https://opensource.org/license/mit" },
  },
  servers: [{ url: ".", description: "This server, also below the path of a proxy" }],
  tags: [
    { name: "tasks", description: "Single prompts: create, execute, read" },
    { name: "batches", description: "Many tasks at once, from JSON or a CSV" },
    { name: "files", description: "Uploads that batches and scheduled tasks read" },
    { name: "scheduled tasks", description: "Batches that run by the clock" },
    { name: "metrics", description: "How much, how fast, at what cost" },
    { name: "status", description: "Whether every part works, and why not" },
    { name: "keys", description: "API keys: who may do what, how much, and until when" },
    { name: "events", description: "What happens, as it happens" },
    { name: "webhooks", description: "What happens, posted to you and signed (Standard Webhooks)" },
  ],
};

type Document = ReturnType<OpenAPIHono<AppEnv>["getOpenAPI31Document"]>;
type Schemas = NonNullable<NonNullable<Document["components"]>["schemas"]>;

/** The OpenAPI document of all routes that `app` has by now. */
export function createDocument(app: OpenAPIHono<AppEnv>): Document {
  registerHeaders(app);
  registerFailures(app);
  app.openAPIRegistry.registerComponent("securitySchemes", "bearerAuth", {
    type: "http",
    scheme: "bearer",
    description: `An API key. Its scopes are of ${SCOPES.join(", ")}; each includes those before it.`,
  });
  const { webhooks: _none, ...document } = app.getOpenAPI31Document(ABOUT);
  addLinks(document.paths ?? {});
  const named: Schemas = {};
  const moved = moveNamed(document, named) as Document;
  const schemas = Object.entries({ ...moved.components?.schemas, ...named });
  const inOrder = Object.fromEntries(schemas.toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return { ...moved, components: { ...moved.components, schemas: inOrder } };
}

/** From each answer that gives a new thing its id to what can be done with it (OpenAPI, Link Object). */
function addLinks(paths: NonNullable<Document["paths"]>): void {
  for (const [path, { post }] of Object.entries(paths)) {
    const made: unknown = post?.responses?.["201"];
    if (typeof made !== "object" || made === null) continue;
    const links = Object.entries(paths)
      .filter(([other]) => other.startsWith(`${path}/{id}`) && other.split("{").length === 2)
      .flatMap(([, { get, post: act, patch, delete: end }]) => [get, act, patch, end])
      .flatMap((operation) => operation?.operationId ?? [])
      .map((operationId) => [
        operationId,
        { operationId, parameters: { id: "$response.body#/data/id" } },
      ]);
    if (links.length > 0) Object.assign(made, { links: Object.fromEntries(links) });
  }
}

/**
 * A copy of the value in which every schema that carries `x-name`, as those of the domain do, stands
 * among `schemas` under that name, and is referred to.
 */
function moveNamed(value: unknown, schemas: Schemas): unknown {
  if (Array.isArray(value)) return value.map((item) => moveNamed(item, schemas));
  if (typeof value !== "object" || value === null) return value;
  const { "x-name": name, ...rest } = value as Record<string, unknown>;
  const copy = Object.fromEntries(
    Object.entries(rest).map(([key, item]) => [key, moveNamed(item, schemas)]),
  );
  if (typeof name !== "string") return copy;
  schemas[name] = copy;
  return { $ref: `#/components/schemas/${name}` };
}
