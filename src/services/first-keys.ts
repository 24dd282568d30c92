import type { Context } from "../context.ts";
import type { Statement } from "../db/unit.ts";
import { type IdSource, newId } from "../lib/ids.ts";
import { StartError } from "../lib/start-error.ts";
import {
  countValidKeys,
  insertFirstKey,
  insertKey,
  type NewKey,
  revokeForsakenKeys,
} from "../store/api-keys.ts";
import { forgetAllNodes } from "../store/nodes.ts";
import { describeSecret, newSecret } from "./api-keys.ts";

/** Hashes of the keys of the environment. */
export function hashesOfEnvironment({ config }: Pick<Context, "config">): string[] {
  return config.apiKeys.map((key) => describeSecret(key).hash);
}

/** Stores the keys of the environment, so that they are valid. */
export function keepEnvironmentKeys(
  ctx: Pick<Context, "config" | "clock" | "random">,
): Statement[] {
  const now = ctx.clock.now();
  return ctx.config.apiKeys.map((key, i) =>
    insertKey({
      ...describeKey(ctx, key, now),
      // Numbered, because the name is in metrics and must reveal nothing of the key.
      name: `API_KEYS ${i + 1}`,
      origin: "environment",
    }),
  );
}

/**
 * Makes the keys of the environment valid. On a local file, keys that were removed from it become invalid; on a
 * shared database a key is valid as long as any living node has it (`src/engine/recovery.ts` revokes the others). If
 * there is no key, creates one and returns it, which is the only time that it can be read. On an address that others
 * can reach, this happens only at the very first start: if all keys were revoked or have expired since, a restart
 * must not write an admin key to a log, and throws `StartError`. Of processes that start at once on a shared
 * database, only one creates the key.
 */
export async function ensureKeys(
  ctx: Pick<Context, "config" | "writer" | "clock" | "random" | "db" | "isExclusive">,
): Promise<string | undefined> {
  const now = ctx.clock.now();
  await ctx.writer.write({
    forgotten: ctx.isExclusive ? forgetAllNodes : undefined,
    revoked: ctx.isExclusive ? revokeForsakenKeys(hashesOfEnvironment(ctx), now) : undefined,
    keys: keepEnvironmentKeys(ctx),
  });
  // A runner answers no requests that need a key.
  if (ctx.config.role === "runner") return undefined;
  const key = newSecret();
  const isReachable = !isLoopback(ctx.config.host);
  const { inserted } = await ctx.writer.write({
    inserted: insertFirstKey(describeKey(ctx, key, now), isReachable),
  });
  if (inserted.changed > 0) return key;
  if ((await countValidKeys(ctx.db, now)) === 0)
    throw new StartError(
      `All API keys were revoked or have expired, so nobody could get in on ${ctx.config.host}. ` +
        "Make a new admin key with the command `admin key`, or set API_KEYS.",
    );
  return undefined;
}

function describeKey(source: IdSource, key: string, now: number): NewKey {
  const secret = describeSecret(key);
  return {
    id: newId(source, "key"),
    name: "First admin key",
    ...secret,
    scopes: ["read", "write", "admin"],
    origin: "first-start",
    createdAt: now,
    expiresAt: null,
    rateLimitPerMinute: null,
    monthlyBudgetUsd: null,
  };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
