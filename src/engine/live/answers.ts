import { type Answer, readAnswer } from "../../domain/answer.ts";
import type { Failure } from "../../domain/failure.ts";
import type { Endpoint } from "../../domain/request.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../../lib/json.ts";
import { classifyErrorBody, classifyThrown, notJson } from "../../providers/classify.ts";
import { createEventLines } from "../../providers/event-lines.ts";
import { errorIn } from "../../providers/judge.ts";
import { createStreamReader } from "../../providers/stream.ts";

/** What an answer that passes through was: what of it is to be counted, or what was wrong. */
export type Heard = { answer: Answer | null; failure: Failure | null; response: string | null };

/** Above this, an answer is not read but for its usage: vectors and images are long, and say nothing else. */
const LONGEST_READ = 200_000;

/** Reads an answer that came whole. */
export function hearWhole(endpoint: Endpoint, text: string, url: string): Heard {
  const response = text.length > LONGEST_READ ? outlineOf(text) : parseJson(text);
  if (response === undefined) return { answer: null, failure: notJson(text, url), response: null };
  const error = errorIn(response);
  if (error !== undefined)
    return { answer: null, failure: classifyErrorBody(error, null), response: text };
  return { answer: readAnswer(endpoint, response) ?? null, failure: null, response: text };
}

/** The members behind the last `usage` of a long answer, and its model. */
function outlineOf(text: string): Json | undefined {
  const start = text.lastIndexOf('"usage"');
  const usage = start < 0 ? undefined : objectAt(text, text.indexOf("{", start));
  const model = /"model"\s*:\s*"([^"\\]{1,200})"/.exec(text.slice(0, 2000))?.[1];
  const tail = /"model"\s*:\s*"([^"\\]{1,200})"/.exec(text.slice(-2000))?.[1];
  return {
    ...(usage ? { usage } : {}),
    ...((model ?? tail) ? { model: model ?? tail ?? "" } : {}),
    choices: [{}],
    data: [{}],
    output: [],
  };
}

function objectAt(text: string, start: number): JsonObject | undefined {
  let depth = 0;
  for (let i = start; i >= 0 && i < text.length; i++) {
    if (text[i] === "{") depth++;
    if (text[i] === "}" && --depth === 0) {
      const value = parseJson(text.slice(start, i + 1));
      return isJsonObject(value) ? value : undefined;
    }
  }
  return undefined;
}

/**
 * Hands on what a stream brings, and hears what it says. `onEnd` is called once: when it has ended, has broken, or nobody
 * reads it any more. With `withoutUsage`, the chunk with the usage that the client has not asked for is left out.
 */
export async function* passStream(
  body: AsyncIterable<Uint8Array>,
  { endpoint, withoutUsage }: { endpoint: Endpoint; withoutUsage: boolean },
  onEnd: (heard: Heard | "left") => void,
): AsyncGenerator<Uint8Array> {
  const reader = createStreamReader(endpoint, () => undefined);
  const events = createEventLines((event) => reader.take(event));
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let rest = "";
  let end: Heard | "left" = "left";
  try {
    for await (const bytes of body) {
      if (!withoutUsage) {
        yield bytes;
        events.feed(decoder.decode(bytes, { stream: true }));
        continue;
      }
      const text = decoder.decode(bytes, { stream: true });
      events.feed(text);
      const blocks = (rest + text).split(/(?<=\n\r?\n)/);
      rest = /\n\r?\n$/.test(blocks.at(-1) ?? "") ? "" : (blocks.pop() ?? "");
      const kept = blocks.filter((block) => !isUsageChunk(block)).join("");
      if (kept !== "") yield encoder.encode(kept);
    }
    if (rest !== "" && !isUsageChunk(rest)) yield encoder.encode(rest);
    events.end();
    end = heard(endpoint, reader.result());
  } catch (error) {
    end = { answer: null, failure: classifyThrown(error), response: null };
    throw error;
  } finally {
    onEnd(end);
  }
}

/** A chunk that has nothing but usage. */
function isUsageChunk(block: string): boolean {
  return /"choices"\s*:\s*\[\s*\]/.test(block) && /"usage"\s*:\s*\{/.test(block);
}

function heard(
  endpoint: Endpoint,
  streamed: ReturnType<ReturnType<typeof createStreamReader>["result"]>,
): Heard {
  if (streamed.kind === "answer") {
    const { response } = streamed;
    const answer = readAnswer(endpoint, response) ?? null;
    return { answer, failure: null, response: JSON.stringify(response) };
  }
  const failure =
    streamed.kind === "error"
      ? classifyErrorBody(streamed.body, null)
      : classifyThrown(new Error("the stream was cut off"));
  return { answer: null, failure, response: null };
}
