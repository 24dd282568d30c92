import { expect, test } from "bun:test";

import { createSystemClock } from "../../src/lib/clock.ts";
import { createSystemRandom } from "../../src/lib/random.ts";
import { createAdjustments } from "../../src/providers/adjust.ts";
import { createCaller } from "../../src/providers/openai.ts";
import { createProbe } from "../../src/providers/probe.ts";
import { TERMS } from "../support/provider.ts";

/** What a server answers to a method and a path. */
type Said = (method: string, path: string) => [status: number, text: string];

const page = (title: string) => `<!DOCTYPE html><title>${title}</title><body>Hello</body>`;

function providerOf(baseUrl: string) {
  return { kind: "openai" as const, name: "p", baseUrl, apiKeys: ["sk-x"], headers: {}, ...TERMS };
}

function outsideOf(said: Said) {
  return {
    clock: createSystemClock(),
    random: createSystemRandom(),
    fetch: async (url: string, init?: RequestInit) => {
      const [status, text] = said(String(init?.method).toUpperCase(), new URL(url).pathname);
      return new Response(text, { status });
    },
  };
}

async function callAt(baseUrl: string, said: Said) {
  const send = createCaller(providerOf(baseUrl), outsideOf(said), 0, createAdjustments());
  const body = { model: "m", messages: [{ role: "user", content: "x" }] };
  return send({
    endpoint: "/v1/chat/completions",
    body: JSON.stringify(body),
    isChecked: false,
    timeoutMs: 5000,
    abort: new AbortController(),
    onDelta: () => {},
  });
}

/** Servers without an API at the address; those of the second list answer as if all were well. */
const LOST: [who: string, said: Said][] = [
  ["FastAPI", () => [404, '{"detail":"Not Found"}']],
  ["Google", () => [404, page("Error 404 (Not Found)!!1")]],
  ["a company", () => [404, page("Acme, since 1923")]],
  ["Express", (method, path) => [404, page("Error").replace("Hello", `Cannot ${method} ${path}`)]],
  ["Fastify", (method, path) => [404, `{"message":"Route ${method}:${path} not found"}`]],
  ["Nest", (method, path) => [404, `{"message":"Cannot ${method} ${path}","error":"Not Found"}`]],
  [
    "Laravel",
    (_, path) => [404, `{"message":"The route${path.replace("/", " ")} could not be found."}`],
  ],
  ["Spring", () => [404, '{"status":404,"error":"Not Found","message":"No message available"}']],
  ["Spring 3", (_, path) => [404, `{"detail":"No static resource ${path.slice(1)}."}`]],
  [
    "Groq",
    (method, path) => [404, `{"error":{"message":"Unknown request URL: ${method} ${path}."}}`],
  ],
  ["nginx", () => [405, page("405 Not Allowed")]],
];
const QUIET: [who: string, said: Said][] = [
  ["a page to sign in", () => [200, page("Sign in")]],
  ["Ollama's greeting", () => [200, "Ollama is running"]],
  ["another API", () => [200, '{"status":"ok"}']],
  ["nothing", () => [200, ""]],
];

test.each([...LOST, ...QUIET])("the status names %s as no API of models", async (_who, said) => {
  const found = await createProbe(providerOf("http://p.test"), 0, outsideOf(said))(0);
  expect(found).toMatchObject({ isNoApi: true, error: expect.stringMatching(/http:\/\/p\.test/) });
});

test.each(LOST)(
  "a call that %s does not know names the address and the cause",
  async (_who, said) => {
    const result = await callAt("http://p.test", said);
    expect(result).toMatchObject({
      ok: false,
      failure: {
        cause: "not_found",
        message: expect.stringMatching(/http:\/\/p\.test\/chat\/completions .*has no \/v1/),
      },
    });
  },
);

const REFUSAL = '{"error":{"message":"messages is required"}}';

test.each<[who: string, said: Said]>([
  ["a list", () => [200, '{"object":"list","data":[]}']],
  ["no list", (method) => (method === "GET" ? [404, '{"detail":"Not Found"}'] : [422, REFUSAL])],
  ["a page for its list", (method) => (method === "GET" ? [404, page("Docs")] : [400, REFUSAL])],
  ["embeddings only", (_, path) => (path === "/v1/embeddings" ? [422, REFUSAL] : [404, ""])],
])("the status is content with a server that has %s", async (_what, said) => {
  const found = await createProbe(providerOf("http://p.test/v1"), 0, outsideOf(said))(0);
  expect(found).toMatchObject({ error: null, isNoApi: false });
});

test("a model that an endpoint does not serve is no wrong address", async () => {
  const message =
    "This is not a chat model and thus not supported in the v1/chat/completions endpoint.";
  const said: Said = () => [404, JSON.stringify({ error: { message, param: "model" } })];
  const result = await callAt("http://p.test/v1", said);
  expect(result).toMatchObject({ ok: false, failure: { cause: "not_found", message } });
});
