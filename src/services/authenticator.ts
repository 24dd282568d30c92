import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { background } from "../lib/background.ts";
import { sha256Hex } from "../lib/hash.ts";
import { type ApiKey, findValidKey, touchKey } from "../store/api-keys.ts";
import { type Caller, toCaller } from "./caller.ts";

export type Authenticator = {
  /** The SHA-256 of the API key in an `Authorization` header, right or wrong. */
  readHash(header: string | undefined): string | undefined;
  /** Whether the key with this hash was valid when it was last asked for. */
  knows(hash: string): boolean;
  /** Whose key it is, if it is valid. */
  verify(hash: string): Promise<Caller | undefined>;
};

/** How long a key that was found valid is taken to be so without asking the database again. */
const TRUST_MS = 5000;
const MOST_KNOWN = 10_000;
const LAST_USED_EVERY_MS = 60_000;

/**
 * Finds who makes a request. Keys are found by their SHA-256, so that the time of a comparison shows
 * nothing about a key. A change to keys counts at once in the process that made it, and within five
 * seconds in others.
 */
export function createAuthenticator(ctx: Context): Authenticator {
  const known = new Map<string, { caller: Caller; until: number }>();
  let changes = 0;
  // Others stay known: from an address that tried too many wrong keys, only known ones are let in.
  ctx.signals.on("keys", ({ key }) => {
    changes++;
    for (const [hash, one] of known)
      if (key === null) one.until = -Infinity;
      else if (one.caller.key === key) known.delete(hash);
  });

  /** What was read while a key was revoked may be what it was before, and must not be trusted for seconds. */
  async function findCurrentKey(hash: string, now: number): Promise<ApiKey | undefined> {
    for (;;) {
      const seen = changes;
      const key = await findValidKey(ctx.db, hash, now);
      if (seen === changes) return key;
    }
  }

  return {
    readHash(header) {
      const token = /^Bearer +(\S+)$/i.exec(header ?? "")?.[1];
      return token === undefined ? undefined : sha256Hex(token);
    },
    knows: (hash) => known.has(hash),
    async verify(hash) {
      const trusted = known.get(hash);
      const now = ctx.clock.now();
      if (trusted && trusted.until > now) return trusted.caller;
      const key = await findCurrentKey(hash, now);
      known.delete(hash);
      if (!key) return undefined;
      const [oldest] = known.keys();
      if (known.size >= MOST_KNOWN && oldest !== undefined) known.delete(oldest);
      const caller = toCaller(key, hash);
      known.set(hash, { caller, until: Math.min(now + TRUST_MS, caller.validUntil) });
      if (now - (key.lastUsedAt ?? 0) >= LAST_USED_EVERY_MS) noteUse(ctx, key.seq, now);
      return caller;
    },
  };
}

/** Nobody waits for it, and a request does not fail because of it. */
function noteUse(ctx: Context, key: number, now: number): void {
  background(
    getLogger(["gptrunner", "keys"]),
    "Noting that a key was used",
    ctx.writer.write({ touched: touchKey(key, now) }),
  );
}
