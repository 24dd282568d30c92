import { type Answer, readAnswer } from "../../domain/answer.ts";
import { type Failure, mayBeCharged } from "../../domain/failure.ts";
import type { Endpoint } from "../../domain/request.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../../lib/json.ts";
import { classifyErrorBody, classifyThrown, notJson } from "../../providers/classify.ts";
import { createEventLines } from "../../providers/event-lines.ts";
import { errorIn } from "../../providers/judge.ts";
import { createStreamReader } from "../../providers/stream.ts";
import { lostText } from "./replies.ts";

/** The result of an answer that was passed through: its countable content, or its failure. */
export type Heard = {
  /** For a call that broke, or whose client disconnected: the received part, because that must be paid for. */
  answer: Answer | null;
  failure: Failure | null;
  response: string | null;
  /** The client disconnected before the end. */
  isLeft?: true;
};

/**
 * Of longer answers only the usage is read, because vectors and images are long and contain nothing else of interest.
 */
const LONGEST_READ = 200_000;
/** Longer than any event with only usage. A longer event is passed on before its end has arrived. */
const LONGEST_HELD = 200_000;

/** Reads a whole answer. */
export function hearWhole(endpoint: Endpoint, text: string, url: string): Heard {
  const response = text.length > LONGEST_READ ? outlineOf(text) : parseJson(text);
  if (response === undefined) return { answer: null, failure: notJson(text, url), response: null };
  const error = errorIn(response);
  if (error !== undefined)
    return { answer: null, failure: classifyErrorBody(error, null), response: text };
  return { answer: readAnswer(endpoint, response) ?? null, failure: null, response: text };
}

/** An empty answer, valid for every endpoint. */
const NOTHING_SAID: JsonObject = { choices: [{}], data: [{}], output: [] };

/** An answer without text. The provider has received the prompt, so it is paid for. */
function promptOnly(endpoint: Endpoint): Answer | null {
  const answer = readAnswer(endpoint, NOTHING_SAID);
  // Of an unknown endpoint the whole answer counts as its text.
  return answer ? { ...answer, content: null } : null;
}

/** The result of a call whose client disconnected before any text had come. */
export function leftUnanswered(endpoint: Endpoint): Heard {
  return { answer: promptOnly(endpoint), failure: null, response: null, isLeft: true };
}

/** The result of a call that failed before any text had come. */
export function failedUnanswered(endpoint: Endpoint, failure: Failure): Heard {
  const answer = mayBeCharged(failure) ? promptOnly(endpoint) : null;
  return { answer, failure, response: null };
}

/** The result of a call whose client disconnected before it was sent. */
export const LEFT_UNSENT: Heard = { answer: null, failure: null, response: null, isLeft: true };

/** The last `usage` of a long answer and the members after it, and its model. */
function outlineOf(text: string): Json | undefined {
  const start = text.lastIndexOf('"usage"');
  const usage = start < 0 ? undefined : objectAt(text, text.indexOf("{", start));
  const model = /"model"\s*:\s*"([^"\\]{1,200})"/.exec(text.slice(0, 2000))?.[1];
  const tail = /"model"\s*:\s*"([^"\\]{1,200})"/.exec(text.slice(-2000))?.[1];
  return {
    ...(usage ? { usage } : {}),
    ...((model ?? tail) ? { model: model ?? tail ?? "" } : {}),
    ...NOTHING_SAID,
  };
}

const LONGEST_USAGE = 20_000;

function objectAt(text: string, start: number): JsonObject | undefined {
  let depth = 0;
  const end = Math.min(text.length, start + LONGEST_USAGE);
  for (let i = start; i >= 0 && i < end; i++) {
    if (text[i] === "{") depth++;
    if (text[i] === "}" && --depth === 0) {
      const value = parseJson(text.slice(start, i + 1));
      return isJsonObject(value) ? value : undefined;
    }
  }
  return undefined;
}

/** The endpoints whose streams mark their end. */
const MARKED: ReadonlySet<Endpoint> = new Set([
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/responses",
]);

type Passing = {
  endpoint: Endpoint;
  /** The client has not requested the usage chunk, so it is left out. */
  withoutUsage: boolean;
  /** Why the connection to the provider was aborted, if it was. */
  whyAborted: () => Failure | undefined;
  /** Called once the stream has ended or has broken; not called if the client stops reading. */
  onEnd: (heard: Heard) => void;
};

/** Passes a stream on, and reads it. `left` is the part so far, for a client that has disconnected. */
export function passStream(body: AsyncIterable<Uint8Array>, passing: Passing) {
  const { endpoint, withoutUsage, whyAborted, onEnd } = passing;
  const reader = createStreamReader(endpoint, () => undefined);

  const events = createEventLines((event) => reader.take(event));
  /** Text that was passed on, and not read yet. */
  let unread = "";
  const readUp = () => {
    events.feed(unread);
    unread = "";
  };
  const soFar = () => {
    readUp();
    const response = reader.partial();
    return response ? (readAnswer(endpoint, response) ?? null) : null;
  };

  async function* pieces(): AsyncGenerator<Uint8Array> {
    const decoder = new TextDecoder();
    const encoder = new TextEncoder();
    let rest = "";
    try {
      for await (const bytes of body) {
        const text = decoder.decode(bytes, { stream: true });
        unread = text;
        if (!withoutUsage) {
          yield bytes;
          readUp();
          continue;
        }
        const blocks = (rest + text).split(/(?<=\n\r?\n)/);
        rest = /\n\r?\n$/.test(blocks.at(-1) ?? "") ? "" : (blocks.pop() ?? "");
        if (rest.length > LONGEST_HELD) {
          blocks.push(rest);
          rest = "";
        }
        const kept = blocks.filter((block) => !isUsageChunk(block)).join("");
        if (kept !== "") yield encoder.encode(kept);
        readUp();
      }
      events.end();
    } catch (error) {
      const failure = whyAborted() ?? classifyThrown(error);
      onEnd(brokenOff(endpoint, failure, soFar()));
      // Reports the failure as providers do, which the SDKs throw. The blank lines end an event that may have been
      // cut off.
      yield encoder.encode(`\n\ndata: ${lostText(failure)}\n\n`);
      return;
    }
    const ended = heard(endpoint, reader.result(), soFar);
    onEnd(ended);
    if (rest !== "" && !isUsageChunk(rest)) yield encoder.encode(rest);
    // A client would take the part that has arrived for the whole answer.
    if (ended.failure && MARKED.has(endpoint) && isCutOff())
      yield encoder.encode(`\n\ndata: ${lostText(ended.failure)}\n\n`);
  }

  /** Whether the stream has ended without an end of its answer, an error or `[DONE]`. */
  const isCutOff = () => reader.result().kind === "cut" && !reader.isDone();

  return {
    pieces: pieces(),
    left(): Heard {
      const answer = soFar();
      return answer
        ? { answer, failure: null, response: null, isLeft: true }
        : leftUnanswered(endpoint);
    },
  };
}

/** A chunk with usage only. */
function isUsageChunk(block: string): boolean {
  return /"choices"\s*:\s*\[\s*\]/.test(block) && /"usage"\s*:\s*\{/.test(block);
}

function heard(
  endpoint: Endpoint,
  streamed: ReturnType<ReturnType<typeof createStreamReader>["result"]>,
  soFar: () => Answer | null,
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
  return brokenOff(endpoint, failure, soFar());
}

function brokenOff(endpoint: Endpoint, failure: Failure, answer: Answer | null): Heard {
  return answer ? { answer, failure, response: null } : failedUnanswered(endpoint, failure);
}
