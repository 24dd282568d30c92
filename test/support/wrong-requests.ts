import type { Json } from "./server.ts";

type WrongRequest = { name: string; method: string; path: string; body: unknown };

/** Values that some field or other does not take. One text is longer than most limits. */
const WRONG: unknown[] = [null, -1.5, "", "zz?", "x".repeat(11_000), [], ["zz?", null], { zz: 1 }];
const WRONG_IN_QUERY = ["", "zz?", "x".repeat(2100)];

/**
 * Wrong requests for every operation of an OpenAPI document. Each gives the same wrong value to all query parameters, or
 * to all fields of its body at once: at the first level or at the deepest one.
 */
export function wrongRequests(document: Json): WrongRequest[] {
  return Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
    Object.entries<Json>(methods).flatMap(([method, operation]) => {
      const filled = path.replaceAll(/\{[^}]+\}/g, "none");
      const called = { name: `${method} ${path}`, method: method.toUpperCase(), path: filled };
      const queries = wrongQueries(operation).map((query) => `${filled}?${query.toString()}`);
      const bodies = wrongBodies(operation, document);
      return queries
        .map((wrong): WrongRequest => Object.assign({ body: undefined }, called, { path: wrong }))
        .concat(bodies.map((body) => Object.assign({ body }, called)));
    }),
  );
}

function wrongQueries({ parameters = [] }: Json): URLSearchParams[] {
  const all: Json[] = parameters;
  const names: string[] = all.filter((one) => one.in === "query").map(({ name }) => name);
  const giving = (value: string, of = names) => new URLSearchParams(of.map((one) => [one, value]));
  return [
    giving("1", ["zz", ...names.map((name) => `${name}s`)]),
    ...(names.length === 0 ? [] : WRONG_IN_QUERY.map((value) => giving(value))),
    giving("1", [...names, ...names]),
  ];
}

function wrongBodies({ requestBody }: Json, document: Json): unknown[] {
  const schema = requestBody?.content["application/json"]?.schema;
  if (schema === undefined) return [];
  const flat = WRONG.map((value) => filledWith(value, schema, document, DEEPEST - 1));
  const deep = WRONG.map((value) => filledWith(value, schema, document, 0));
  // Many bodies have no deeper level.
  const different = new Map(
    [null, [], ...flat, ...deep].map((body) => [JSON.stringify(body), body]),
  );
  return [...different.values()];
}

const DEEPEST = 6;

/** A value in the shape of a schema, with `value` in place of what has no parts, or lies too deep. */
function filledWith(value: unknown, given: Json, document: Json, depth: number): unknown {
  const schema = resolved(given, document);
  if (depth >= DEEPEST) return value;
  const fill = (part: Json) => filledWith(value, part, document, depth + 1);
  if (schema.items) return depth + 1 < DEEPEST ? [fill(schema.items)] : value;
  if (!schema.properties) return value;
  const properties = Object.entries<Json>(schema.properties);
  const filled = new Map(properties.map(([name, part]) => [name, fill(part)]));
  // Beside each field with parts stands a misspelt one.
  for (const [name] of properties) if (filled.get(name) !== value) filled.set(`${name}s`, 1);
  return Object.fromEntries(filled);
}

/** A schema without references; of several forms, the first one with parts. */
function resolved(schema: Json, document: Json): Json {
  const name = schema?.$ref?.split("/").at(-1);
  if (name !== undefined) return resolved(document.components.schemas[name], document);
  const forms: Json[] = schema?.anyOf ?? schema?.allOf ?? [];
  const parts = forms.map((form) => resolved(form, document));
  return parts.find((form) => form.properties ?? form.items) ?? schema ?? {};
}
