import { tierOf } from "../domain/flex.ts";
import { schemaIn } from "../domain/output.ts";
import { pricedModels } from "../domain/prices.ts";
import { promptText } from "../domain/request.ts";
import type { Cancel, Clock } from "../lib/clock.ts";
import { sha256Hex } from "../lib/hash.ts";
import { randomBase32 } from "../lib/ids.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../lib/json.ts";
import type { Outside } from "./outside.ts";
import { exampleOf } from "./simulator-json.ts";
import {
  CHAT,
  COMPLETIONS,
  type Composed,
  CREATED,
  OTHERS,
  RESPONSES,
} from "./simulator-shapes.ts";
import { countPromptTokens, countTokens } from "./tokens.ts";

export type SimulatorOptions = { latencyMs: number; failureRate: number; mismatchRate: number };

/**
 * A provider without a network: a `fetch` that answers OpenAI's chat completions, completions, responses, embeddings
 * and models. An answer depends only on its request; latency, failures and schema mismatches are random with the
 * configured rates. Tokens are counted with the model's own vocabulary.
 */
export function createSimulator(
  { latencyMs, failureRate, mismatchRate }: SimulatorOptions,
  { clock, random }: Pick<Outside, "clock" | "random">,
): (input: string | URL | Request, init?: RequestInit) => Promise<Response> {
  const json = (body: Json, status = 200) =>
    Response.json(body, {
      status,
      headers: { "x-request-id": `sim-${randomBase32(random, 26)}` },
    });
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    await sleep(clock, latencyMs * (0.5 + random()), init?.signal ?? undefined);
    if (url.pathname.endsWith("/models")) return json(listModels());
    if (random() < failureRate) return json(FAILURE, 503);
    const body = parseJson(typeof init?.body === "string" ? init.body : "");
    if (!isJsonObject(body)) return json(errorBody("The request has no JSON body"), 400);
    if (url.pathname.endsWith("/embeddings")) return json(await embed(body));
    const answer = await compose(body, mismatchRate > 0 && random() < mismatchRate);
    const shape = url.pathname.endsWith("/responses")
      ? RESPONSES
      : url.pathname.endsWith("/chat/completions")
        ? CHAT
        : url.pathname.endsWith("/completions")
          ? COMPLETIONS
          : OTHERS;
    return body["stream"] === true
      ? stream(shape.chunks(answer), latencyMs, clock)
      : json(shape.whole(answer));
  };
}

/**
 * The answer to a request: with a schema an example of it, unless it `isMismatched`; otherwise its last words and
 * sentences that are chosen by its hash.
 */
async function compose(body: JsonObject, isMismatched: boolean): Promise<Composed> {
  const model = String(body["model"]);
  const hash = sha256Hex(
    JSON.stringify([body["messages"] ?? body["input"] ?? body["prompt"], model]),
  );
  const subject = promptText(body).trim().split("\n").at(-1)?.slice(0, 80) ?? "";
  const first = nibble(hash, 0) % SENTENCES.length;
  const sentences = Array.from(
    { length: 2 + (nibble(hash, 1) % 4) },
    (_, i) => SENTENCES[(first + i * 5) % SENTENCES.length],
  );
  const wantsJson =
    isJsonObject(body["response_format"]) && body["response_format"]["type"] !== "text";
  const full = `Simulated answer to “${subject}”. ${sentences.join(" ")}`;
  const schema = isMismatched ? undefined : schemaIn(body);
  const object = schema ? exampleOf(schema, (index) => nibble(hash, index)) : { answer: full };
  const said = wantsJson ? JSON.stringify(object) : full;
  const limit = body["max_tokens"] ?? body["max_completion_tokens"] ?? body["max_output_tokens"];
  const { text, finish } = await truncate(
    model,
    said,
    typeof limit === "number" ? limit : Infinity,
  );
  const tier = tierOf(body);
  return {
    id: hash.slice(0, 24),
    model,
    served: tier === null || tier === "auto" ? {} : { service_tier: tier },
    text,
    finish,
    prompt: await countPromptTokens(model, body),
    completion: await countTokens(model, text),
  };
}

async function truncate(
  model: string,
  text: string,
  limit: number,
): Promise<Pick<Composed, "text" | "finish">> {
  const words = text.split(/(?<=\s)/);
  while (words.length > 1 && (await countTokens(model, words.join(""))) > limit)
    words.length = Math.ceil(words.length * 0.8) - 1 || 1;
  const kept = words.join("");
  return { text: kept, finish: kept.length < text.length ? "length" : "stop" };
}

const SENTENCES = [
  "The short version fits on a postcard, and the long one is a footnote to it.",
  "Three things matter here: what goes in, what comes out, and who pays for the difference.",
  "Most of it follows from the first step, so that is where to look twice.",
  "A careful reader would ask for an example, and the example would settle it.",
  "None of this is new, but seeing it in one place makes it easier to use.",
  "If you only remember one sentence, let it be the one before this.",
  "In practice the exceptions are rarer than they seem and cheaper than they look.",
  "The numbers agree with the story, which is the best that numbers can do.",
  "Start small, measure, and keep what survives the second attempt.",
  "It works for the same reason that it fails: it does exactly what it says.",
  "The trade-off is time for certainty, and most people choose certainty twice.",
  "Ask again with other words and the answer will be the same.",
];

/** A unit vector for each input, from its hash. */
async function embed(body: JsonObject): Promise<JsonObject> {
  const model = String(body["model"]);
  const input = body["input"];
  const texts = (Array.isArray(input) ? input : [input ?? ""]).map((item) =>
    typeof item === "string" ? item : JSON.stringify(item),
  );
  const size =
    typeof body["dimensions"] === "number" ? Math.max(1, Math.min(4096, body["dimensions"])) : 256;
  const tokens = await countTokens(model, texts.join("\n"));
  return {
    object: "list",
    model,
    data: texts.map((text, index) => ({
      object: "embedding",
      index,
      embedding: unitVector(text, size),
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

function unitVector(text: string, size: number): number[] {
  let state = Number.parseInt(sha256Hex(text).slice(0, 8), 16) || 1;
  const raw = Array.from({ length: size }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0; // Numerical Recipes' generator
    return state / 2 ** 31 - 1;
  });
  const length = Math.hypot(...raw) || 1;
  return raw.map((x) => Number((x / length).toFixed(6)));
}

function listModels(): JsonObject {
  return {
    object: "list",
    data: pricedModels().map((id) => ({
      id,
      object: "model",
      created: CREATED,
      owned_by: "simulator",
    })),
  };
}

const FAILURE = errorBody(
  "Simulated failure, as configured by SIMULATOR_FAILURE_RATE",
  "server_error",
);

function errorBody(message: string, type = "invalid_request_error"): JsonObject {
  return { error: { message, type, param: null, code: null } };
}

/** Server-sent events, spread over the time that the answer would take. */
function stream(chunks: JsonObject[], overMs: number, clock: Clock): Response {
  const events = [...chunks.map((chunk) => JSON.stringify(chunk)), "[DONE]"];
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    async pull(controller) {
      const event = events.shift();
      if (event === undefined) return controller.close();
      if (overMs > 0) await clock.sleep(overMs / chunks.length);
      controller.enqueue(encoder.encode(`data: ${event}\n\n`));
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

function nibble(hash: string, index: number): number {
  return Number.parseInt(hash[index % hash.length] ?? "0", 16);
}

function sleep(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    let cancel: Cancel | undefined;
    if (signal?.aborted) return stop();
    cancel = clock.setTimeout(done, ms);
    signal?.addEventListener("abort", stop, { once: true });
    function done() {
      signal?.removeEventListener("abort", stop);
      resolve();
    }
    function stop() {
      cancel?.();
      reject(new DOMException("The call was aborted", "AbortError"));
    }
  });
}
