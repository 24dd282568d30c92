import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { sha256Hex } from "../lib/hash.ts";
import { newId, randomBase32 } from "../lib/ids.ts";
import {
  findValidKey,
  insertFirstKey,
  insertKey,
  type NewKey,
  revokeOtherEnvironmentKeys,
} from "../store/api-keys.ts";
import type { Caller } from "./caller.ts";

const SCOPES = ["read", "write", "admin"];

/** How long a key that was found valid is taken to be so without asking the database again. */
const TRUST_MS = 5000;
const MOST_TRUSTED = 10_000;

/**
 * Makes the keys of the environment valid, and those that left it invalid. Where there is no valid
 * key at all, makes one and returns it: the only time that it can be read.
 */
export async function ensureKeys(
  ctx: Pick<Context, "config" | "writer" | "now">,
): Promise<string | undefined> {
  const now = ctx.now();
  const fromEnvironment = ctx.config.apiKeys.map((key) => describeKey(key, "environment", now));
  await ctx.writer.write([
    revokeOtherEnvironmentKeys(
      fromEnvironment.map(({ hash }) => hash),
      now,
    ),
    ...fromEnvironment.map(insertKey),
  ]);
  const key = `gtr_${randomBase32(40)}`;
  const [inserted] = await ctx.writer.write([insertFirstKey(describeKey(key, "first-start", now))]);
  return inserted?.rowsAffected === 1 ? key : undefined;
}

function describeKey(key: string, origin: NewKey["origin"], now: number): NewKey {
  const hash = sha256Hex(key);
  return {
    id: newId("key", now),
    name: origin === "environment" ? `API_KEYS ${hash.slice(0, 6)}` : "First admin key",
    hash,
    // A short key of a user's own must not be told by its prefix.
    prefix: key.length >= 24 ? key.slice(0, 8) : "",
    scopes: SCOPES,
    origin,
    createdAt: now,
  };
}

/**
 * Tells who makes a request from its `Authorization` header. Keys are found by their SHA-256, so
 * that the time of a comparison tells nothing about a key. Throws `UNAUTHORIZED`.
 */
export function createAuthenticator(ctx: Context): (header: string | undefined) => Promise<Caller> {
  const trusted = new Map<string, { caller: Caller; until: number }>();
  return async (header) => {
    const token = /^Bearer +(\S+)$/i.exec(header ?? "")?.[1];
    if (token === undefined)
      throw new AppError(
        "UNAUTHORIZED",
        "Send your API key as `Authorization: Bearer YOUR_API_KEY`",
      );
    const hash = sha256Hex(token);
    const known = trusted.get(hash);
    const now = ctx.now();
    if (known && known.until > now) return known.caller;
    const key = await findValidKey(ctx.db, hash);
    trusted.delete(hash);
    if (!key) throw new AppError("UNAUTHORIZED", "The API key is not valid");
    const caller = { key: key.seq, keyId: key.id, scopes: key.scopes };
    if (trusted.size >= MOST_TRUSTED) trusted.clear();
    trusted.set(hash, { caller, until: now + TRUST_MS });
    return caller;
  };
}
