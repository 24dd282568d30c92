import { LibsqlError } from "@libsql/client";

import type { Clock } from "../lib/clock.ts";
import {
  HttpFailure,
  type PipelineAnswer,
  type SqlRef,
  type StreamRequest,
  type StreamResult,
} from "./hrana.ts";

export type StreamOptions = {
  /** The server's address, by HTTP. */
  url: string;
  authToken?: string | undefined;
  clock: Pick<Clock, "monotonic">;
  fetch: (url: string, init: RequestInit) => Promise<Response>;
};

/** Sends requests to a server; `plan` makes them, with SQL texts in the form that the connection can use. */
export type Ask = (
  texts: Iterable<string>,
  plan: (refer: (sql: string) => SqlRef) => StreamRequest,
) => Promise<StreamResult>;

/** A connection of the server to its database, which the server keeps between requests. */
type Stream = {
  /** Identifies it in the next request; `undefined` before the first one. */
  baton: string | undefined;
  /** The URL for the next request, as the server requires. */
  url: string;
  usedAt: number;
  /** SQL texts that the server has stored, the most recently used at the end. */
  stored: Map<string, number>;
  /** SQL texts that were sent once. */
  said: Set<string>;
};

/** The most requests at a time; a server accepts some hundred in all. */
const MOST_AT_ONCE = 20;
const MOST_IDLE = 4;
/** A server forgets a stream after ten seconds. */
const KEPT_MS = 5000;
/** The most stored texts; sqld's limit is 50 texts of 5 kB each. */
const MOST_STORED = 45;
const LONGEST_STORED = 5000;
const MOST_SAID = 500;

/**
 * Keeps connections of a libSQL server open between requests. Opening one costs the server more than
 * most transactions do: it reads and parses the whole schema. An SQL text that is sent again
 * on a connection is stored there, and from then on referred to by its number.
 *
 *   fresh   no request was made. Becomes kept with the answer to the first.
 *   kept    named by the baton of the last answer. Left when an answer is an error, when it is
 *           not used for a while, and when the server does not know it, which has then done nothing.
 */
export function createStreams(options: StreamOptions): Ask {
  const { clock } = options;
  const idle: Stream[] = [];
  const waiting: (() => void)[] = [];
  let busy = 0;
  let canStore = true;

  async function ask(...[texts, plan]: Parameters<Ask>): Promise<StreamResult> {
    for (;;) {
      const stream = take();
      const isKept = stream.baton !== undefined;
      const storing = canStore ? toStore(stream, texts) : [];
      try {
        const refer = (sql: string): SqlRef => {
          const id = stream.stored.get(sql);
          return id === undefined ? { sql } : { sql_id: id };
        };
        const results = await post(options, stream, [...storing, plan(refer)]);
        const result = results.at(-1);
        if (result === undefined || results.length !== storing.length + 1)
          throw new LibsqlError("the server gave other answers than asked", "HRANA_PROTO_ERROR");
        if (result.type === "error" && results.slice(0, -1).some(({ type }) => type === "error")) {
          // The server has not stored the texts, so it could not resolve references to them.
          canStore = false;
          close(stream);
          continue;
        }
        if (hasFailed(result)) close(stream);
        else keep(stream);
        return result;
      } catch (error) {
        if (!isKept || !isForgotten(error)) throw error;
        // The server was restarted, so it does not know the other streams either.
        idle.length = 0;
      }
    }
  }

  function take(): Stream {
    const now = clock.monotonic();
    const stream = idle.pop();
    if (stream !== undefined && now - stream.usedAt < KEPT_MS) return stream;
    idle.length = 0;
    return { baton: undefined, url: options.url, usedAt: now, stored: new Map(), said: new Set() };
  }

  function keep(stream: Stream): void {
    if (stream.baton === undefined) return;
    stream.usedAt = clock.monotonic();
    if (idle.length < MOST_IDLE) idle.push(stream);
    else close(stream);
  }

  /** Closes the server's connection, and rolls back whatever it has begun. Not awaited. */
  function close(stream: Stream): void {
    if (stream.baton !== undefined) post(options, stream, [{ type: "close" }]).catch(() => {});
  }

  return async (texts, plan) => {
    if (busy >= MOST_AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
    else busy++;
    try {
      return await ask(texts, plan);
    } finally {
      const next = waiting.shift();
      if (next) next();
      else busy--;
    }
  };
}

/**
 * Requests that make the server store the texts that were sent before on the stream, and drop others to make room.
 */
function toStore({ stored, said }: Stream, texts: Iterable<string>): StreamRequest[] {
  const requests: StreamRequest[] = [];
  const used = new Set(texts);
  for (const sql of used) {
    const id = stored.get(sql);
    if (id !== undefined) {
      stored.delete(sql);
      stored.set(sql, id);
    } else if (!said.delete(sql)) {
      if (said.size >= MOST_SAID) said.clear();
      said.add(sql);
    } else if (Buffer.byteLength(sql) < LONGEST_STORED) {
      let free = stored.size;
      if (free >= MOST_STORED) {
        const [oldest] = stored;
        if (oldest === undefined || used.has(oldest[0])) continue;
        free = oldest[1];
        stored.delete(oldest[0]);
        requests.push({ type: "close_sql", sql_id: free });
      }
      stored.set(sql, free);
      requests.push({ type: "store_sql", sql_id: free, sql });
    }
  }
  return requests;
}

async function post(
  { fetch, authToken }: StreamOptions,
  stream: Stream,
  requests: StreamRequest[],
): Promise<StreamResult[]> {
  const { baton = null, url } = stream;
  const response = await fetch(new URL("v2/pipeline", url).href, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      // Compressing a small answer costs the server more than sending it.
      "accept-encoding": "identity",
      ...(authToken === undefined ? {} : { authorization: `Bearer ${authToken}` }),
    },
    body: JSON.stringify({ baton, requests }),
  });
  if (!response.ok) throw await failureOf(response);
  const answer = (await response.json()) as PipelineAnswer;
  stream.baton = answer.baton ?? undefined;
  stream.url = answer.base_url ?? url;
  return answer.results;
}

async function failureOf(response: Response): Promise<LibsqlError> {
  const said = (await response.text()).trim();
  const type = response.headers.get("content-type") ?? "";
  const failure = new HttpFailure(response.status, type.startsWith("text/plain") ? said : "");
  const code = type.startsWith("application/json") ? codeIn(said) : undefined;
  return new LibsqlError(failure.message, code ?? "SERVER_ERROR", undefined, undefined, failure);
}

function codeIn(said: string): string | undefined {
  try {
    const { code } = JSON.parse(said) as { code?: unknown };
    return typeof code === "string" ? code : undefined;
  } catch {
    return undefined;
  }
}

/** A server that does not know a stream says so before it reads the request. */
function isForgotten(error: unknown): boolean {
  if (!(error instanceof LibsqlError && error.cause instanceof HttpFailure)) return false;
  return error.cause.status === 400 || error.cause.status === 404;
}

/** Whether a step failed, after which the state of the connection is uncertain. */
function hasFailed(result: StreamResult): boolean {
  if (result.type === "error") return true;
  const { step_errors: errors } = (result.response.result ?? {}) as { step_errors?: unknown[] };
  return errors?.some((error) => error !== null) ?? false;
}
