import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { sha256Hex } from "../lib/hash.ts";
import { type ApiKey, findValidKey, touchKey } from "../store/api-keys.ts";
import type { Caller } from "./caller.ts";

/** How long a key that was found valid is taken to be so without asking the database again. */
const TRUST_MS = 5000;
const MOST_TRUSTED = 10_000;
const LAST_USED_EVERY_MS = 60_000;

/**
 * Tells who makes a request from its `Authorization` header. Keys are found by their SHA-256, so
 * that the time of a comparison tells nothing about a key. A change to keys counts at once in the
 * process that made it, and within five seconds in others. Throws `UNAUTHORIZED`.
 */
export function createAuthenticator(ctx: Context): (header: string | undefined) => Promise<Caller> {
  const trusted = new Map<string, { caller: Caller; until: number }>();
  ctx.signals.on("keys", () => trusted.clear());
  return async (header) => {
    const hash = sha256Hex(readToken(header));
    const known = trusted.get(hash);
    const now = ctx.now();
    if (known && known.until > now) return known.caller;
    const key = await findValidKey(ctx.db, hash, now);
    trusted.delete(hash);
    if (!key) throw new AppError("UNAUTHORIZED", "The API key is not valid");
    if (trusted.size >= MOST_TRUSTED) trusted.clear();
    const caller = toCaller(key);
    trusted.set(hash, { caller, until: Math.min(now + TRUST_MS, endOf(key, hash)) });
    if (now - (key.lastUsedAt ?? 0) >= LAST_USED_EVERY_MS) noteUse(ctx, key.seq, now);
    return caller;
  };
}

function readToken(header: string | undefined): string {
  const token = /^Bearer +(\S+)$/i.exec(header ?? "")?.[1];
  if (token !== undefined) return token;
  throw new AppError("UNAUTHORIZED", "Send your API key as `Authorization: Bearer YOUR_API_KEY`");
}

function toCaller({ seq, id, scopes, rateLimitPerMinute }: ApiKey): Caller {
  return { key: seq, keyId: id, scopes, rateLimitPerMinute };
}

function endOf(key: ApiKey, hash: string): number {
  return Math.min(
    key.expiresAt ?? Infinity,
    key.previousHash === hash ? (key.previousExpiresAt ?? Infinity) : Infinity,
  );
}

/** Nobody waits for it, and a request does not fail because of it. */
function noteUse(ctx: Context, key: number, now: number): void {
  ctx.writer.write([touchKey(key, now)]).catch(() => undefined);
}
