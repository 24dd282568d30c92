// The only stream of the page (`GET /live`): the whole state, and then its changes.

import { addressOf, ApiError, call } from "../api/client.ts";
import type { Live } from "../api/wire.ts";
import { applyPatch } from "./patch.ts";
import { connection, live, take } from "./state.ts";

const LONGEST_WAIT_MS = 15_000;
const FIRST_WAIT_MS = 500;

/** Follows the live state until the returned function is called. */
export function follow(): () => void {
  let source: EventSource | undefined;
  let waitMs = FIRST_WAIT_MS;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isStopped = false;

  async function open(): Promise<void> {
    try {
      const { token } = await call<{ token: string }>("POST", "/events/token");
      if (isStopped) return;
      source = new EventSource(addressOf(`/live?access_token=${encodeURIComponent(token)}`));
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return;
      return later();
    }
    source.addEventListener("state", ({ data }: MessageEvent<string>) => {
      waitMs = FIRST_WAIT_MS;
      take(JSON.parse(data) as Live);
      connection.value = "live";
    });
    source.addEventListener("patch", ({ data }: MessageEvent<string>) => {
      if (live.value) take(applyPatch(live.value, JSON.parse(data)) as Live);
    });
    source.addEventListener("error", later);
  }

  /** The page reconnects itself, because a token is valid only for a minute and the browser would use it again. */
  function later(): void {
    source?.close();
    if (isStopped) return;
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
    isStopped = true;
    removeEventListener("online", onOnline);
    clearTimeout(timer);
    source?.close();
    take(undefined);
    connection.value = "opening";
  };
}
