import type { Context } from "../context.ts";
import { FLEX_DEADLINE_MINUTES } from "../domain/flex.ts";
import { DEFAULT_REPAIRS } from "../domain/output.ts";
import { AppError } from "../errors.ts";
import { sha256Hex } from "../lib/hash.ts";
import { canonicalJson } from "../lib/json.ts";
import { findIdempotencyKey, type Idempotency } from "../store/idempotency.ts";
import type { Caller } from "./caller.ts";

/** What a request means that leaves these out. One that spells them out is the same request. */
const DEFAULTS: Record<string, unknown> = {
  priority: "normal",
  cache: false,
  safeOutput: false,
  flexDeadlineMinutes: FLEX_DEADLINE_MINUTES,
  maxRepairs: DEFAULT_REPAIRS,
};

/** A task, or what a batch has for its tasks, without what it would be anyway; a task has from its batch what `inherited` says. */
export function withoutDefaults<Fields extends object>(
  fields: Fields,
  inherited: object = {},
): Partial<Fields> {
  const otherwise: Record<string, unknown> = { ...DEFAULTS, ...inherited };
  const kept = Object.entries(fields).filter(
    ([name, value]) => !(name in DEFAULTS) || otherwise[name] !== value,
  );
  // What is left has the same names and values.
  return Object.fromEntries(kept) as Partial<Fields>;
}

/** The promise that a key stands for, or `null` without one. Keys are scoped to the API key. */
export function idempotencyOf(
  caller: Pick<Caller, "key">,
  key: string | undefined,
  payload: unknown,
): Idempotency | null {
  if (key === undefined) return null;
  return { apiKey: caller.key, key, fingerprint: sha256Hex(canonicalJson(payload)) };
}

/** The id of what the key was first used for, if it was. Throws where that was another request. */
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
