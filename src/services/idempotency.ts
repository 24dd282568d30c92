import type { Context } from "../context.ts";
import { FLEX_DEADLINE_MINUTES } from "../domain/flex.ts";
import { DEFAULT_REPAIRS } from "../domain/output.ts";
import { AppError } from "../errors.ts";
import { sha256Hex } from "../lib/hash.ts";
import { canonicalJson } from "../lib/json.ts";
import { findIdempotencyKey, type Idempotency } from "../store/idempotency.ts";
import type { Caller } from "./caller.ts";

/** The defaults of fields. A request that spells them out equals one that omits them. */
const DEFAULTS: Record<string, unknown> = {
  priority: "normal",
  cache: false,
  safeOutput: false,
  flexDeadlineMinutes: FLEX_DEADLINE_MINUTES,
  maxRepairs: DEFAULT_REPAIRS,
};

/**
 * A task, or the settings of a batch for its tasks, without the fields that equal their defaults; a task inherits the
 * fields in `inherited` from its batch.
 */
export function withoutDefaults<Fields extends object>(
  fields: Fields,
  inherited: object = {},
): Partial<Fields> {
  const otherwise: Record<string, unknown> = { ...DEFAULTS, ...inherited };
  const kept = Object.entries(fields).filter(
    ([name, value]) => !(name in DEFAULTS) || otherwise[name] !== value,
  );
  // The remaining entries have the same names and values.
  return Object.fromEntries(kept) as Partial<Fields>;
}

/** The idempotency key with the hash of the request, or `null` without a key. Keys are scoped to the API key. */
export function idempotencyOf(
  caller: Pick<Caller, "key">,
  key: string | undefined,
  payload: unknown,
): Idempotency | null {
  if (key === undefined) return null;
  return { apiKey: caller.key, key, fingerprint: sha256Hex(canonicalJson(payload)) };
}

/** The id of what the key was first used for, if anything. Throws if that was another request. */
export async function findOriginal(
  ctx: Context,
  idempotency: Idempotency | null,
  kind: "task" | "batch",
): Promise<string | undefined> {
  if (!idempotency) return undefined;
  const used = await findIdempotencyKey(ctx.db, idempotency.apiKey, idempotency.key);
  if (!used) return undefined;
  const id = kind === "task" ? used.taskId : used.batchId;
  if (used.fingerprint !== idempotency.fingerprint || id === null)
    throw new AppError(
      "IDEMPOTENCY_KEY_REUSED",
      `The idempotency key ${JSON.stringify(idempotency.key)} was used for another request; use a new key for a new request`,
    );
  return id;
}
