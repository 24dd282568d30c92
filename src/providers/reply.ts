import type { Endpoint } from "../domain/request.ts";
import { type Json, parseJson } from "../lib/json.ts";
import { createEventLines } from "./event-lines.ts";
import { readLooseJson } from "./loose-json.ts";
import { replyPieces, replyText } from "./reply-bytes.ts";
import { createStreamReader } from "./stream.ts";

/** The content of a successful answer, whole or streamed, regardless of what was requested. */
export type Read =
  | { kind: "answer"; response: Json; text: string }
  | { kind: "error"; body: Json }
  | { kind: "cut"; said: string | null }
  | { kind: "unreadable"; text: string };

type Reading = { endpoint: Endpoint; onDelta: (text: string) => void };

/**
 * Reads a reply to its end. Its first characters show its kind, because some servers stream without a request, and
 * some answer whole although a stream was requested, with any content type. Throws the error of the connection,
 * unless the answer was complete by then.
 */
export async function readReply(reply: Response, reading: Reading): Promise<Read> {
  const type = reply.headers.get("content-type") ?? "";
  if (/json(?!l|-seq)/i.test(type) || !reply.body) return readText(await replyText(reply), reading);
  return readPieces(reply.body, reading);
}

/** A stream begins with a field or a comment; JSON and pages do not. */
const STREAM_START = /^\s*(data|event|id|retry|error)?:/;
const SNIFFED = 32;
const MOST_BLANKS = 10_000;

async function readPieces(body: ReadableStream<Uint8Array>, reading: Reading): Promise<Read> {
  const decoder = new TextDecoder();
  const stream = startStream(reading);
  let text = "";
  let isStream: boolean | undefined;
  try {
    for await (const bytes of replyPieces(body)) {
      const piece = decoder.decode(bytes, { stream: true });
      if (isStream) stream.feed(piece);
      else text += piece;
      // Providers send blanks to keep a connection alive.
      if (isStream === undefined && text.length > MOST_BLANKS) text = text.trimStart();
      if (isStream === undefined && text.trimStart().length >= SNIFFED) {
        isStream = STREAM_START.test(text);
        if (isStream) stream.feed(text);
      }
      if (stream.isDone()) break;
    }
  } catch (error) {
    // Some servers break the connection instead of ending the stream.
    if (!stream.isWhole()) throw error;
  }
  return isStream ? stream.end() : readText(text + decoder.decode(), reading);
}

function readText(text: string, reading: Reading): Read {
  const strict = parseJson(text);
  if (strict !== undefined) return { kind: "answer", response: strict, text };
  const isStream = STREAM_START.test(text);
  const response = isStream ? undefined : readLooseJson(text);
  if (response !== undefined) return repaired(response);
  const stream = startStream(reading);
  stream.feed(text);
  const read = stream.end();
  if (read.kind !== "cut") return read;
  // A keep-alive comment may also come before JSON.
  const loose = readLooseJson(text);
  if (loose !== undefined) return repaired(loose);
  return isStream ? read : { kind: "unreadable", text };
}

/** An answer that was no valid JSON as it came. */
function repaired(response: Json): Read {
  return { kind: "answer", response, text: JSON.stringify(response) };
}

function startStream({ endpoint, onDelta }: Reading) {
  const reader = createStreamReader(endpoint, onDelta);
  const lines = createEventLines(reader.take);
  return {
    feed: lines.feed,
    isDone: reader.isDone,
    isWhole: reader.isWhole,
    end(): Read {
      lines.end();
      const result = reader.result();
      return result.kind === "answer"
        ? { ...result, text: JSON.stringify(result.response) }
        : result;
    },
  };
}
