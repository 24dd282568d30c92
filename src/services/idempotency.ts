import type { Context } from "../context.ts";
import { FLEX_DEADLINE_MINUTES } from "../domain/flex.ts";
import { DEFAULT_REPAIRS } from "../domain/output.ts";
import type { BatchConfig } from "../domain/task-input.ts";
import { AppError } from "../errors.ts";
import { canonicalHash } from "../lib/canonical-hash.ts";
import { canonicalJson } from "../lib/json.ts";
import { findIdempotencyKey, type Idempotency } from "../store/idempotency.ts";
import type { Caller } from "./caller.ts";

/**
 * The defaults of fields. A request that spells them out equals one that omits them. Those of the server's configuration
 * are not among them: it may change between a request and its repetition.
 */
const DEFAULTS: Record<string, unknown> = {
  priority: "normal",
  parameters: {},
  cache: false,
  safeOutput: false,
  flexDeadlineMinutes: FLEX_DEADLINE_MINUTES,
  maxRepairs: DEFAULT_REPAIRS,
};
const DEFAULTS_OF_READING = { header: true, values: "plain" };

/** A task without the fields that equal their defaults; it inherits the fields in `inherited` from its batch. */
export function withoutDefaults(fields: object, inherited: object = {}): Record<string, unknown> {
  return withoutEqual(fields, { ...DEFAULTS, ...inherited });
}

/** The settings of a batch without the fields that equal their defaults; `undefined` if none is left. */
export function settingsOf(config: BatchConfig = {}): Record<string, unknown> | undefined {
  const { csv = {}, xlsx = {}, ...settings } = config;
  return orNothing({
    ...withoutEqual(settings, DEFAULTS),
    csv: orNothing(withoutEqual(csv, DEFAULTS_OF_READING)),
    xlsx: orNothing(withoutEqual(xlsx, DEFAULTS_OF_READING)),
  });
}

function withoutEqual(fields: object, others: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).filter(([name, value]) => !isEqual(value, others[name])),
  );
}

function isEqual(value: unknown, other: unknown): boolean {
  const areBoth = typeof value === "object" && typeof other === "object";
  return areBoth ? canonicalJson(value) === canonicalJson(other) : value === other;
}

function orNothing(fields: Record<string, unknown>): Record<string, unknown> | undefined {
  return Object.values(fields).every((value) => value === undefined) ? undefined : fields;
}

/** An idempotency key with the hash of its request. Keys are scoped to the API key. */
export async function idempotencyOf(
  { clock }: Pick<Context, "clock">,
  caller: Pick<Caller, "key">,
  key: string,
  payload: unknown,
): Promise<Idempotency> {
  return { apiKey: caller.key, key, fingerprint: await canonicalHash(clock, payload) };
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
