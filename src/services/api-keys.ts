import type { Context } from "../context.ts";
import type { Statement, Unit } from "../db/unit.ts";
import type { Scope } from "../domain/scope.ts";
import { AppError, invalid } from "../errors.ts";
import { sha256Hex } from "../lib/hash.ts";
import { newId } from "../lib/ids.ts";
import { randomSecret } from "../lib/secrets.ts";
import { withoutUndefined } from "../lib/without-undefined.ts";
import * as store from "../store/api-keys.ts";
import { holdSpent, pauseSpent, releaseHeld, reserveRunning } from "../store/budgets.ts";
import { moveSingles } from "../store/queue.ts";
import { watchBudgets } from "./budgets.ts";

/** A key with its usage, this month (UTC) and in total. */
export type KeyRecord = { key: store.ApiKey; month: Usage; total: Usage };
type Usage = Omit<store.KeyUsage, "apiKey">;

export type KeyDraft = {
  name: string;
  scopes: Scope[];
  expiresAt?: number | null | undefined;
  rateLimitPerMinute?: number | null | undefined;
  monthlyBudgetUsd?: number | null | undefined;
};

/** Creates a key. Its `secret` can be read only in this result. */
export async function createKey(
  ctx: Context,
  draft: KeyDraft,
): Promise<{ secret: string; record: KeyRecord }> {
  const now = ctx.clock.now();
  requireFuture(draft.expiresAt, now);
  const secret = newSecret();
  const id = newId(ctx, "key");
  const key = store.insertKey({
    id,
    name: draft.name,
    ...describeSecret(secret),
    scopes: draft.scopes,
    origin: "api",
    createdAt: now,
    expiresAt: draft.expiresAt ?? null,
    rateLimitPerMinute: draft.rateLimitPerMinute ?? null,
    monthlyBudgetUsd: draft.monthlyBudgetUsd ?? null,
  });
  await ctx.writer.write({ key });
  const record = await getKey(ctx, id);
  ctx.signals.emit("keys", { key: record.key.seq });
  return { secret, record };
}

/** A key, also a revoked one. */
export async function getKey(ctx: Context, id: string): Promise<KeyRecord> {
  const [record] = await withUsage(ctx, [await requireKey(ctx, id)]);
  if (!record) throw new Error("a key that is there has a record");
  return record;
}

/** One page of keys and how many match in all. */
export async function listKeys(ctx: Context, filter: store.KeyFilter, page: store.KeyPage) {
  return {
    keys: await withUsage(ctx, await store.listKeys(ctx.reads.db, filter, page)),
    total: await store.countKeys(ctx.reads.db, filter),
  };
}

/** The fields that limit a key. */
const LIMITING = ["scopes", "expiresAt", "rateLimitPerMinute", "monthlyBudgetUsd"] as const;

/** An earlier version allowed limits for keys of API_KEYS; these can still be removed. */
const narrows = (value: unknown) => value !== undefined && value !== null;

/** Changes a key; `null` removes a limit. */
export async function updateKey(
  ctx: Context,
  id: string,
  change: { [Field in keyof KeyDraft]?: KeyDraft[Field] | undefined },
): Promise<KeyRecord> {
  const key = await requireKey(ctx, id);
  requireFuture(change.expiresAt, ctx.clock.now());
  if (LIMITING.some((field) => narrows(change[field]))) requireOurs(key, "narrowed or ended");
  const changed = store.updateKey(id, withoutUndefined(change));
  const now = ctx.clock.now();
  const money =
    change.monthlyBudgetUsd === undefined
      ? {}
      : {
          moved: moveSingles({ keyId: id }),
          reserved: reserveRunning(id),
          released: releaseHeld(id, now),
          spent: pauseSpent([], [key.seq], now),
          held: holdSpent([key.seq], now),
        };
  await applyTo(ctx, key, { changed, ...money });
  // Single tasks of the key may be ready again.
  ctx.signals.emit("batch", undefined);
  await watchBudgets(ctx);
  return getKey(ctx, id);
}

/**
 * Gives a key a new secret. The current one stays valid for `overlapMs`; one that an earlier rotation replaced does
 * not.
 */
export async function rotateKey(
  ctx: Context,
  id: string,
  overlapMs: number,
): Promise<{ secret: string; record: KeyRecord }> {
  const key = await requireKey(ctx, id);
  requireOurs(key, "rotated");
  const secret = newSecret();
  const now = ctx.clock.now();
  const changed = store.rotateKey(id, describeSecret(secret), now + overlapMs, now);
  await applyTo(ctx, key, { changed });
  return { secret, record: await getKey(ctx, id) };
}

/** Revokes a key at once and permanently. What it has created stays. */
export async function revokeKey(ctx: Context, id: string): Promise<void> {
  const key = await requireKey(ctx, id);
  requireOurs(key, "revoked");
  await applyTo(ctx, key, { changed: store.revokeKey(id, ctx.clock.now()) });
}

type KeyUnit = Unit & { changed: Statement };

/** Writes a change. Throws if the key does not allow it. */
async function applyTo(ctx: Context, { id, seq }: store.ApiKey, unit: KeyUnit): Promise<void> {
  const { changed } = await ctx.writer.write(unit);
  ctx.signals.emit("keys", { key: seq });
  if (changed.changed === 0)
    throw new AppError("API_KEY_FIXED", `API key ${id} was revoked or has expired`);
}

async function requireKey(ctx: Context, id: string): Promise<store.ApiKey> {
  const key = await store.findKey(ctx.db, id);
  if (!key) throw new AppError("API_KEY_NOT_FOUND", `There is no API key with id ${id}`);
  return key;
}

function requireOurs({ id, origin }: store.ApiKey, what: string): void {
  if (origin === "environment")
    throw new AppError(
      "API_KEY_FIXED",
      `API key ${id} stands in API_KEYS, so it can only be ${what} there, before the next start; ` +
        "for limits, scopes or an expiry make a key of your own (POST /api/v1/api-keys)",
    );
}

function requireFuture(expiresAt: number | null | undefined, now: number): void {
  if (expiresAt !== undefined && expiresAt !== null && expiresAt <= now)
    throw invalid([{ path: "expiresAt", message: "must be in the future" }]);
}

async function withUsage(ctx: Context, keys: store.ApiKey[]): Promise<KeyRecord[]> {
  const ids = keys.map(({ seq }) => seq);
  const month = new Date(ctx.clock.now()).toISOString().slice(0, 7);
  const thisMonth = await store.readUsage(ctx.reads.db, ids, month);
  const ever = await store.readUsage(ctx.reads.db, ids);
  return keys.map((key) => ({
    key,
    month: usageOf(thisMonth, key),
    total: usageOf(ever, key),
  }));
}

function usageOf(usages: store.KeyUsage[], { seq }: store.ApiKey): Usage {
  const none = { tasks: 0, promptTokens: 0, completionTokens: 0, costUsd: 0 };
  return usages.find(({ apiKey }) => apiKey === seq) ?? none;
}

/** 200 random bits. */
export function newSecret(): string {
  return `gtr_${randomSecret(40)}`;
}

/** The stored facts about a secret. */
export function describeSecret(secret: string): { hash: string; prefix: string } {
  // The prefix of a short key that a user has chosen would reveal too much of it.
  return { hash: sha256Hex(secret), prefix: secret.length >= 24 ? secret.slice(0, 8) : "" };
}
