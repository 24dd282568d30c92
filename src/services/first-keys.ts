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

/** Makes the keys of the environment valid. */
export function keepEnvironmentKeys(
  ctx: Pick<Context, "config" | "clock" | "random">,
): Statement[] {
  const now = ctx.clock.now();
  return ctx.config.apiKeys.map((key, i) =>
    insertKey({
      ...describeKey(ctx, key, now),
      // By its place, because the name is in metrics and must reveal nothing of the key.
      name: `API_KEYS ${i + 1}`,
      origin: "environment",
    }),
  );
}

/**
 * Makes the keys of the environment valid, and on a local file those that left it invalid; on a shared
 * database a key is valid as long as any living node has it (`src/engine/recovery.ts` revokes the others). Where there is no
 * key, makes one and returns it: the only time that it can be read. On an address that others reach this
 * happens at the very first start alone: if all keys were revoked or have expired since, a restart
 * must not make an admin key in a log, and throws `StartError`. Of processes that start at once on a
 * shared database, one makes the key.
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
  // It answers nothing that needs a key.
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
