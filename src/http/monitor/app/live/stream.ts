// The only stream of the page (`GET /live`): the whole state, and then its changes.

import { EventSourceParserStream } from "eventsource-parser/stream";

import { ApiError, key, request } from "../api/client.ts";
import type { Live } from "../api/wire.ts";
import type { FirstLive } from "../early.ts";
import { applyPatch } from "./patch.ts";
import { connection, live, take } from "./state.ts";

const LONGEST_WAIT_MS = 15_000;
const FIRST_WAIT_MS = 500;

/** Follows the live state until the returned function is called. */
export function follow(): () => void {
  let first = takeFirst();
  const abort = first?.abort ?? new AbortController();
  let waitMs = FIRST_WAIT_MS;
  let timer: ReturnType<typeof setTimeout> | undefined;

  /** Reads the stream until it ends, which happens only if the connection or the server ends. */
  async function open(): Promise<void> {
    try {
      // With `fetch`, which sends the key. An `EventSource` would need a token first.
      const sent = first?.answer;
      first = undefined;
      const { body } = await request("GET", "/live", { signal: abort.signal, sent });
      const events = body
        ?.pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream())
        .getReader();
      for (;;) {
        const { value, done } = (await events?.read()) ?? { value: undefined, done: true };
        if (done) break;
        show(value.event ?? "", value.data);
      }
    } catch (error) {
      // The key is no longer valid, and the session has ended.
      if (error instanceof ApiError && error.status === 401) return;
    }
    later();
  }

  function show(event: string, data: string): void {
    if (event === "patch" && live.value) take(applyPatch(live.value, JSON.parse(data)) as Live);
    if (event !== "state") return;
    waitMs = FIRST_WAIT_MS;
    take(JSON.parse(data) as Live);
    connection.value = "live";
  }

  function later(): void {
    if (abort.signal.aborted) return;
    connection.value = "down";
    clearTimeout(timer);
    timer = setTimeout(open, waitMs);
    waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
  }

  /** The browser knows earlier than a timer when the network is back. */
  function onOnline(): void {
    if (connection.value !== "down") return;
    clearTimeout(timer);
    waitMs = FIRST_WAIT_MS;
    timer = setTimeout(open, 0);
  }

  addEventListener("online", onOnline);
  void open();
  return () => {
    abort.abort();
    removeEventListener("online", onOnline);
    clearTimeout(timer);
    take(undefined);
    connection.value = "opening";
  };
}

/** The request of `early.ts`, once, if it has the key of this session. */
function takeFirst(): FirstLive | undefined {
  const first = globalThis.firstLive;
  globalThis.firstLive = undefined;
  if (first?.key === key.value) return first;
  first?.abort.abort();
  return undefined;
}
