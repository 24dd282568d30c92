import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { background } from "../lib/background.ts";
import { sha256Hex } from "../lib/hash.ts";
import { type ApiKey, findValidKey, touchKey } from "../store/api-keys.ts";
import { type Caller, toCaller } from "./caller.ts";

export type Authenticator = {
  /** The SHA-256 of the API key in an `Authorization` header, right or wrong. */
  readHash(header: string | undefined): string | undefined;
  /** Whether the key with this hash was valid at its last use. */
  knows(hash: string): boolean;
  /** The caller of the key with this hash, if it is valid. */
  verify(hash: string): Promise<Caller | undefined>;
};

/** How long a valid key is cached without reading the database again. */
const TRUST_MS = 5000;
const MOST_KNOWN = 10_000;
const LAST_USED_EVERY_MS = 60_000;

/**
 * Identifies the caller of a request. Keys are found by their SHA-256, so that the time of a comparison reveals
 * nothing about a key. A change of keys takes effect at once in the process that made it, and within five seconds in
 * others.
 */
export function createAuthenticator(ctx: Context): Authenticator {
  const known = new Map<string, { caller: Caller; until: number }>();
  let changes = 0;
  // Other keys stay known: an address that has tried too many wrong keys is admitted only with a known one.
  ctx.signals.on("keys", ({ key }) => {
    changes++;
    for (const [hash, one] of known)
      if (key === null) one.until = -Infinity;
      else if (one.caller.key === key) known.delete(hash);
  });

  /** A key that was read while it was being revoked may be out of date, and must not be cached for seconds. */
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

/** Runs in the background, so that a request does not fail because of it. */
function noteUse(ctx: Context, key: number, now: number): void {
  background(
    getLogger(["gptrunner", "keys"]),
    "Noting that a key was used",
    ctx.writer.write({ touched: touchKey(key, now) }),
  );
}
