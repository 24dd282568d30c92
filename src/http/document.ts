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
    { name: "scheduled tasks", description: "Batches that run at scheduled times" },
    { name: "metrics", description: "How much, how fast, at what cost" },
    { name: "status", description: "Whether each service works, and if not, why" },
    { name: "keys", description: "API keys: their scopes, limits, budgets and expiry" },
    { name: "events", description: "Live events" },
    {
      name: "webhooks",
      description: "Signed events that are posted to your endpoint (Standard Webhooks)",
    },
  ],
};

type Document = ReturnType<OpenAPIHono<AppEnv>["getOpenAPI31Document"]>;
type Schemas = NonNullable<NonNullable<Document["components"]>["schemas"]>;

/** The OpenAPI document of all routes of `app`. */
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

/** Adds links from each answer with a new id to the operations that take that id (OpenAPI, Link Object). */
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
 * A copy of the value in which every schema with `x-name`, as those of the domain have, is moved to `schemas` under
 * that name and replaced by a reference.
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
