import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { createLoop, type More } from "../lib/loop.ts";
import { listKeysBySeq } from "../store/api-keys.ts";
import { type Caller, endOfKey } from "./caller.ts";

export type KeyWatch = {
  /**
   * Calls `onEnd` once, when the caller's key is no longer valid. Returns a function that cancels the watch. `isLate`
   * means that the caller was authenticated a while ago, so that the key may have ended since.
   */
  watch(caller: Caller, onEnd: () => void, options?: { isLate: boolean }): () => void;
  start(): void;
  stop(): Promise<void>;
};

/** A change takes effect at once in the process that made it, and after this time in others. */
const LOOK_EVERY_MS = 5000;
const SOON_MS = 50;

/**
 * Notifies holders of open connections, such as event streams, when their key is revoked, replaced or expires.
 * Without holders it reads nothing.
 */
export function createKeyWatch({
  db,
  clock,
  signals,
}: Pick<Context, "db" | "clock" | "signals">): KeyWatch {
  const watched = new Map<object, { caller: Caller; onEnd: () => void }>();
  let unsubscribe = () => {};
  const loop = createLoop({
    log: getLogger(["gptrunner", "keys"]),
    complaint: "API keys could not be checked",
    clock,
    work: endThoseOver,
  });

  async function endThoseOver(): Promise<More | void> {
    // Those that come while the keys are read are judged by the next look.
    const holders = [...watched];
    if (holders.length === 0) return;
    const keys = await listKeysBySeq(db, [...new Set(holders.map(([, { caller }]) => caller.key))]);
    const bySeq = new Map(keys.map((key) => [key.seq, key]));
    const now = clock.now();
    let next = now + LOOK_EVERY_MS;
    for (const [handle, { caller, onEnd }] of holders) {
      if (!watched.has(handle)) continue;
      const key = bySeq.get(caller.key);
      const end = key ? endOfKey(key, caller.secretHash) : 0;
      if (end > now) {
        next = Math.min(next, end);
        continue;
      }
      watched.delete(handle);
      onEnd();
    }
    return { inMs: next - now };
  }

  return {
    watch(caller, onEnd, { isLate } = { isLate: false }) {
      const handle = {};
      watched.set(handle, { caller, onEnd });
      // The key may have ended since the caller was authenticated. The start of a stream does not wait for this check.
      if (isLate || caller.validUntil < clock.now() + LOOK_EVERY_MS) loop.nudge();
      else if (watched.size === 1) loop.nudge(SOON_MS);
      return () => watched.delete(handle);
    },
    start() {
      unsubscribe = signals.on("keys", () => loop.nudge());
      loop.start();
      if (watched.size > 0) loop.nudge();
    },
    async stop() {
      unsubscribe();
      await loop.stop();
    },
  };
}
