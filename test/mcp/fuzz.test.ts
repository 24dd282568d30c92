import { expect, test } from "bun:test";

import fc from "fast-check";

import { type Json, KEY, startServer } from "../support/server.ts";

/** The number of messages; `FUZZ_RUNS=1000` sends more. */
const RUNS = 4 * Number(process.env["FUZZ_RUNS"] ?? 40);

const METHODS = [
  "initialize",
  "ping",
  "server/discover",
  "tools/list",
  "tools/call",
  "resources/subscribe",
  "subscriptions/listen",
  "logging/setLevel",
  "completion/complete",
  "notifications/initialized",
  "notifications/cancelled",
  "",
  "__proto__",
  "constructor",
];
const TOOLS = ["status", "results", "estimate", "retry", "control_batch", "models", "toString"];
const NAMES = ["id", "batch", "name", "arguments", "cursor", "_meta", "progressToken", "requestId"];

const scalar = fc.oneof(
  fc.constantFrom(null, true, "", "nothing-here", 0, -1, 1.5, 2 ** 53),
  fc.string({ unit: "grapheme" }),
);
const anything = fc.oneof(
  scalar,
  fc.json({ maxDepth: 3 }).map((text): Json => JSON.parse(text)),
  fc.dictionary(fc.constantFrom(...NAMES), scalar, { maxKeys: 4 }),
  fc.integer({ min: 50, max: 3000 }).map((depth): Json => nested(depth)),
);
const params = fc.oneof(
  anything,
  fc.record(
    { name: fc.constantFrom(...TOOLS), arguments: anything, _meta: anything },
    { requiredKeys: ["name"] },
  ),
  fc.record({
    protocolVersion: fc.constantFrom("2025-06-18", "1999-01-01", "", 5),
    capabilities: anything,
    clientInfo: anything,
  }),
);
const message = fc.record(
  {
    jsonrpc: fc.oneof({ weight: 6, arbitrary: fc.constant("2.0") }, anything),
    id: fc.oneof(fc.nat(), fc.string(), anything),
    method: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...METHODS) }, anything),
    params,
    result: anything,
  },
  { requiredKeys: ["jsonrpc"] },
);
const body = fc.oneof(
  { weight: 8, arbitrary: message.map((value) => JSON.stringify(value)) },
  anything.map((value) => JSON.stringify(value)),
  fc.array(message, { maxLength: 3 }).map((value) => JSON.stringify(value)),
  fc.string(),
  message.map((value) => JSON.stringify(value).slice(0, -1)),
);
const headers = fc.record(
  {
    "content-type": fc.constantFrom("text/plain", "application/json;charset=utf-16", "json", ""),
    accept: fc.constantFrom("*/*", "application/json", "text/html", ""),
    "mcp-protocol-version": fc.constantFrom("2025-06-18", "2025-11-25", "1999-01-01", "é", ""),
    "mcp-session-id": fc.constantFrom("none", ""),
    "last-event-id": fc.constant("1"),
  },
  { requiredKeys: [] },
);

const EXAMPLES: [string, Record<string, string>][] = [
  ['{"jsonrpc":"2.0","id":"a","method":"ping"}', {}],
  ['{"jsonrpc":"2.0","id":1,"method":"nothing"}', {}],
  ['{"jsonrpc":"2.0","method":"notifications/initialized"}', {}],
  ['[{"jsonrpc":"2.0","id":1,"method":"ping"}]', {}],
];

test("every message to /mcp is answered by the protocol, and never with a 5xx", async () => {
  await using app = await startServer({ LOG_LEVEL: "fatal", RATE_LIMIT_PER_MINUTE: "0" });
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(
      body,
      fc.oneof({ weight: 4, arbitrary: fc.constant({}) }, headers),
      async (text, more) => {
        const answer = await fetch(`${app.url}/mcp`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${KEY}`,
            "content-type": "application/json",
            accept: "application/json, text/event-stream",
            ...more,
          },
          body: text,
        });
        const said = await answer.text();
        seen.add(kindOf(answer, said, text));
      },
    ),
    { numRuns: RUNS, examples: EXAMPLES },
  );
  // Each example has a kind of its own.
  expect([...seen].toSorted()).toEqual(["accepted", "error", "refused", "result"]);
  expect((await app.get("/tasks")).status).toBe(200);
}, 120_000);

/** The kind of an answer. Throws if the protocol does not allow it as an answer to this text. */
function kindOf(answer: Response, said: string, text: string): string {
  const { status, headers: given } = answer;
  const about = `${status} ${said.slice(0, 300)} to ${text.slice(0, 300)}`;
  if (status === 202 && said === "") return "accepted";
  const isStream = given.get("content-type") === "text/event-stream";
  const data = isStream ? /^event: message\ndata: (.*)\n\n$/.exec(said)?.[1] : said;
  const value: Json = JSON.parse(data ?? "null");
  const isRefusal = status >= 400 && status < 500;
  if (isRefusal && value?.success === false) return "refused";
  const isOne = value?.jsonrpc === "2.0" && "result" in value !== "error" in value;
  if (!isOne || (!isRefusal && status !== 200)) throw new Error(`not by the protocol: ${about}`);
  // An answer to nothing in particular has the id null.
  if (value.id !== null) expect(value.id, about).toEqual(JSON.parse(text).id);
  else if (!isRefusal) throw new Error(`an answer without the id of its request: ${about}`);
  return "error" in value ? "error" : "result";
}

function nested(depth: number): Json {
  let value: Json = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? { a: value } : [value];
  return value;
}
