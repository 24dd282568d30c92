// The schemas of the OpenAPI document that src/client names, and those that they refer to, as a document of their own:
// client-schemas.mjs FULL-DOCUMENT > DOCUMENT
import { readdirSync, readFileSync } from "node:fs";

const folder = new URL("../../src/client/", import.meta.url);
const source = readdirSync(folder)
  .filter((name) => name !== "schemas.ts")
  .map((name) => readFileSync(new URL(name, folder), "utf8"))
  .join("\n");
const { openapi, info, components } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const wanted = new Set();
const want = (name) => {
  if (wanted.has(name)) return;
  wanted.add(name);
  const schema = components.schemas[name];
  if (!schema) throw new Error(`src/client names ${name}, which the document does not have`);
  for (const [, other] of JSON.stringify(schema).matchAll(/"#\/components\/schemas\/(\w+)"/g))
    want(other);
};
for (const [, name] of source.matchAll(/Schemas\["(\w+)"\]/g)) want(name);
const schemas = Object.fromEntries(
  [...wanted].toSorted().map((name) => [name, components.schemas[name]]),
);
console.log(JSON.stringify({ openapi, info, paths: {}, components: { schemas } }));
