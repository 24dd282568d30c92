import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";

/** The deepest nesting; deeper objects, and recursive ones, are left empty. */
const DEEPEST = 8;
const MOST_ITEMS = 3;

/** An example for a schema, made from numbers of 0 to 15. Patterns and combinations are ignored. */
export function exampleOf(root: JsonObject, nibble: (index: number) => number): Json {
  let used = 0;
  const next = () => nibble(used++);

  function example(schema: Json | undefined, name: string, depth: number): Json {
    if (!isJsonObject(schema) || depth > DEEPEST) return null;
    const { const: only, enum: values, $ref } = schema;
    if (only !== undefined) return only;
    if (Array.isArray(values) && values.length > 0) return values[next() % values.length] ?? null;
    if (typeof $ref === "string") return example(definition($ref), name, depth + 1);
    for (const key of ["anyOf", "oneOf", "allOf"]) {
      const options = schema[key];
      if (Array.isArray(options) && options.length > 0) return example(options[0], name, depth + 1);
    }
    const types = Array.isArray(schema["type"]) ? schema["type"] : [schema["type"]];
    return MAKERS[String(types[0])]?.(schema, name, depth) ?? null;
  }

  function definition(ref: string): Json | undefined {
    return ref
      .replace(/^#\/?/, "")
      .split("/")
      .filter((step) => step !== "")
      .reduce<Json | undefined>(
        (at, step) => (isJsonObject(at) && Object.hasOwn(at, step) ? at[step] : undefined),
        root,
      );
  }

  const limit = (schema: JsonObject, key: string, otherwise: number) =>
    typeof schema[key] === "number" ? schema[key] : otherwise;

  const number = (schema: JsonObject): number => {
    const least = limit(schema, "minimum", limit(schema, "exclusiveMinimum", -1) + 1);
    const most = limit(schema, "maximum", limit(schema, "exclusiveMaximum", least + 16) - 1);
    return Math.min(most, Math.ceil(least) + next());
  };

  const MAKERS: Record<string, (schema: JsonObject, name: string, depth: number) => Json> = {
    boolean: () => next() % 2 === 0,
    integer: number,
    number,
    string: (schema, name) => {
      const known = FORMATS[String(schema["format"])];
      if (known !== undefined) return known;
      const text = `${name} ${next()}`.padEnd(limit(schema, "minLength", 0), ".");
      return text.slice(0, Math.max(0, limit(schema, "maxLength", text.length)));
    },
    array: (schema, name, depth) => {
      const least = limit(schema, "minItems", 1);
      const length = Math.min(
        Math.max(least, 1 + (next() % MOST_ITEMS)),
        limit(schema, "maxItems", 100),
      );
      return Array.from({ length: Math.min(length, 100) }, () =>
        example(schema["items"] ?? { type: "string" }, name, depth + 1),
      );
    },
    object: (schema, _name, depth) => {
      const { properties } = schema;
      const names = isJsonObject(properties) ? Object.entries(properties) : [];
      return Object.fromEntries(
        names.map(([name, property]) => [name, example(property, name, depth + 1)]),
      );
    },
  };

  return example(root, "answer", 0);
}

const FORMATS: Record<string, string> = {
  date: "2026-01-05",
  time: "08:00:00Z",
  "date-time": "2026-01-05T08:00:00Z",
  email: "somebody@example.com",
  uri: "https://example.com/",
  uuid: "123e4567-e89b-12d3-a456-426614174000",
};
