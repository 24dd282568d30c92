import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { createAlarm } from "../lib/alarm.ts";
import { listKeysBySeq } from "../store/api-keys.ts";
import { type Caller, endOfKey } from "./caller.ts";

export type KeyWatch = {
  /** Calls `onEnd` once, when the caller's key is no longer valid, unless what it returns is called before. */
  watch(caller: Caller, onEnd: () => void): () => void;
};

/** A change is noticed at once in the process that made it, and after this time in others. */
const LOOK_EVERY_MS = 5000;

/**
 * Tells those who hold something open, such as an event stream, when their key is revoked, replaced or
 * expires. Nothing is looked at while nobody holds anything.
 */
export function createKeyWatch(ctx: Context): KeyWatch {
  const log = getLogger(["gptrunner", "keys"]);
  const watched = new Map<object, { caller: Caller; onEnd: () => void }>();
  const alarm = createAlarm(() => void look(), ctx.clock);
  ctx.signals.on("keys", () => void look());

  async function look(): Promise<void> {
    if (watched.size === 0) return alarm.clear();
    try {
      alarm.set(await endThoseOver());
    } catch (error) {
      log.error("API keys could not be checked: {error}", { error });
      alarm.set(ctx.clock.now() + LOOK_EVERY_MS);
    }
  }

  /** Returns when to look again. */
  async function endThoseOver(): Promise<number> {
    const keys = await listKeysBySeq(ctx.db, [
      ...new Set([...watched.values()].map(({ caller }) => caller.key)),
    ]);
    const bySeq = new Map(keys.map((key) => [key.seq, key]));
    const now = ctx.clock.now();
    let next = now + LOOK_EVERY_MS;
    for (const [handle, { caller, onEnd }] of watched) {
      const key = bySeq.get(caller.key);
      const end = key ? endOfKey(key, caller.secretHash) : 0;
      if (end > now) {
        next = Math.min(next, end);
        continue;
      }
      watched.delete(handle);
      onEnd();
    }
    return next;
  }

  return {
    watch(caller, onEnd) {
      const handle = {};
      watched.set(handle, { caller, onEnd });
      // It may have ended since the caller was let in.
      if (watched.size === 1 || caller.validUntil < ctx.clock.now() + LOOK_EVERY_MS) void look();
      return () => {
        watched.delete(handle);
        if (watched.size === 0) alarm.clear();
      };
    },
  };
}
