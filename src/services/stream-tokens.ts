import type { Context } from "../context.ts";
import { sha256Hex } from "../lib/hash.ts";
import { randomSecret } from "../lib/secrets.ts";
import {
  deleteExpiredTokens,
  findToken,
  insertToken,
  type TokenFilter,
} from "../store/stream-tokens.ts";
import { type Caller, toCaller } from "./caller.ts";

export type { TokenFilter };

const VALID_MS = 60_000;

/**
 * Creates a token that opens event streams within `filter` for a minute: a browser's EventSource sends no headers,
 * and an API key in a URL would end up in logs.
 */
export async function createStreamToken(
  ctx: Context,
  caller: Caller,
  filter: TokenFilter,
): Promise<{ token: string; expiresAt: number }> {
  const token = `gts_${randomSecret(40)}`;
  const expiresAt = ctx.clock.now() + VALID_MS;
  await ctx.writer.write({
    expired: deleteExpiredTokens(ctx.clock.now()),
    token: insertToken({
      hash: sha256Hex(token),
      apiKey: caller.key,
      secretHash: caller.secretHash,
      filter,
      expiresAt,
    }),
  });
  return { token, expiresAt };
}

/** The caller of a stream token, and what it opens; `undefined` if it is not valid. */
export async function findStreamCaller(
  ctx: Context,
  token: string,
): Promise<{ caller: Caller; filter: TokenFilter } | undefined> {
  const found = await findToken(ctx.db, sha256Hex(token), ctx.clock.now());
  if (!found) return undefined;
  const { filter, key, secretHash } = found;
  const caller = toCaller({ ...key, scopes: ["read"] }, secretHash);
  return caller.validUntil > ctx.clock.now() ? { caller, filter } : undefined;
}
