// The only stream of the page (`GET /live`): the whole state, and then its changes.

import { effect, untracked } from "@preact/signals";
import { EventSourceParserStream } from "eventsource-parser/stream";

import { ApiError, key, request } from "../api/client.ts";
import type { Live } from "../api/wire.ts";
import type { FirstLive } from "../early.ts";
import { applyPatch } from "./patch.ts";
import { connection, live, now, take } from "./state.ts";

const LONGEST_WAIT_MS = 15_000;
const FIRST_WAIT_MS = 500;
/** The server sends something at least every ten seconds. */
const MOST_SILENT_SECONDS = 30;

/** Follows the live state until the returned function is called. */
export function follow(): () => void {
  let first = takeFirst();
  /** The one attempt or stream that counts: what another still delivers is older. */
  let current = new AbortController();
  let waitMs = FIRST_WAIT_MS;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let silentSeconds = 0;

  /** Reads the stream until it ends, which happens only if the connection or the server ends. */
  async function open(): Promise<void> {
    clearTimeout(timer);
    current.abort();
    const mine = first?.abort ?? new AbortController();
    current = mine;
    silentSeconds = 0;
    try {
      // With `fetch`, which sends the key. An `EventSource` would need a token first.
      const sent = first?.answer;
      first = undefined;
      const { body } = await request("GET", "/live", { signal: mine.signal, sent });
      const events = body
        ?.pipeThrough(new TransformStream({ transform: heard }))
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream())
        .getReader();
      for (;;) {
        const { value, done } = (await events?.read()) ?? { value: undefined, done: true };
        if (done || current !== mine) break;
        show(value.event ?? "", value.data);
      }
    } catch (error) {
      // The key is no longer valid, and the session has ended.
      if (error instanceof ApiError && error.status === 401) return;
    }
    if (current === mine && !mine.signal.aborted) later();
  }

  function heard(chunk: BufferSource, out: TransformStreamDefaultController<BufferSource>): void {
    silentSeconds = 0;
    out.enqueue(chunk);
  }

  function show(event: string, data: string): void {
    if (event === "patch" && live.value) take(applyPatch(live.value, JSON.parse(data)) as Live);
    if (event !== "state") return;
    waitMs = FIRST_WAIT_MS;
    take(JSON.parse(data) as Live);
    connection.value = "live";
  }

  function later(): void {
    connection.value = "down";
    timer = setTimeout(open, waitMs);
    waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
  }

  /** The browser knows earlier than a timer when the network is back. */
  function onOnline(): void {
    if (connection.value !== "down") return;
    waitMs = FIRST_WAIT_MS;
    void open();
  }

  // A network can vanish without ending its connections. The seconds are those of a page that somebody sees.
  const unwatch = effect(() => {
    void now.value;
    if (connection.value !== "live" || ++silentSeconds <= MOST_SILENT_SECONDS) return;
    connection.value = "down";
    void untracked(open);
  });
  addEventListener("online", onOnline);
  void open();
  return () => {
    current.abort();
    unwatch();
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
