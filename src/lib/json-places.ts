import { type DocumentNode, parse, type ValueNode } from "@humanwhocodes/momoa";

/** A JSON text whose parts can be named by line. */
export type PlacedJson = {
  value: unknown;
  /** The line of the value at a path, or of the nearest one around it that exists. */
  lineOf(path: readonly PropertyKey[]): number;
};

/** A text is not JSON, or an object has a name twice. */
export class JsonPlaceError extends Error {
  override readonly name = "JsonPlaceError";
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

/** Parses JSON as people write it in a file. Throws `JsonPlaceError`. */
export function parsePlaced(text: string): PlacedJson {
  const { body } = parseOrThrow(text);
  refuseRepeated(body);
  return {
    value: JSON.parse(text),
    lineOf(path) {
      let node = body;
      for (const key of path) {
        const next = childOf(node, key);
        if (!next) break;
        node = next;
      }
      return node.loc.start.line;
    },
  };
}

function parseOrThrow(text: string): DocumentNode {
  try {
    return parse(text, { mode: "json" });
  } catch (error) {
    const line = error instanceof Error && "line" in error ? Number(error.line) : 1;
    const said = error instanceof Error ? error.message : String(error);
    throw new JsonPlaceError(line, `is not JSON: ${said.replace(/\s*\(\d+:\d+\)[\s\S]*$/, "")}`);
  }
}

function childOf(node: ValueNode, key: PropertyKey): ValueNode | undefined {
  if (node.type === "Array") return node.elements[Number(key)]?.value;
  if (node.type !== "Object") return undefined;
  return node.members.find(({ name }) => nameOf(name) === key)?.value;
}

/** Of two members with the same name, parsers keep the last, and the first would be ignored without a word. */
function refuseRepeated(node: ValueNode): void {
  if (node.type === "Array") for (const { value } of node.elements) refuseRepeated(value);
  if (node.type !== "Object") return;
  const names = new Set<string>();
  for (const { name, value } of node.members) {
    const text = nameOf(name);
    if (names.has(text))
      throw new JsonPlaceError(name.loc.start.line, `has ${JSON.stringify(text)} twice`);
    names.add(text);
    refuseRepeated(value);
  }
}

function nameOf(name: { type: "String"; value: string } | { type: "Identifier"; name: string }) {
  return name.type === "String" ? name.value : name.name;
}
