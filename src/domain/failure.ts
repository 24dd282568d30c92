/**
 * Everything that can go wrong with a call to a provider: whether another attempt may help, and
 * the code that users see. The facts decide where the error is built (`providers/classify.ts`).
 */
export const CAUSES = {
  connect_failed: { code: "PROVIDER_UNREACHABLE", retryable: true },
  dns_failed: { code: "PROVIDER_UNREACHABLE", retryable: true },
  tls_failed: { code: "PROVIDER_TLS_FAILED", retryable: false },
  timeout: { code: "PROVIDER_TIMEOUT", retryable: true },
  connection_lost: { code: "PROVIDER_CONNECTION_LOST", retryable: true },
  bad_response: { code: "PROVIDER_BAD_RESPONSE", retryable: true },
  empty_response: { code: "EMPTY_RESPONSE", retryable: true },
  truncated: { code: "TRUNCATED", retryable: false },
  schema_mismatch: { code: "SCHEMA_MISMATCH", retryable: false },
  refused: { code: "REFUSED", retryable: false },
  rejected: { code: "PROVIDER_REJECTED_REQUEST", retryable: false },
  context_length: { code: "CONTEXT_LENGTH_EXCEEDED", retryable: false },
  content_filter: { code: "CONTENT_FILTERED", retryable: false },
  unauthorized: { code: "PROVIDER_UNAUTHORIZED", retryable: false },
  forbidden: { code: "PROVIDER_FORBIDDEN", retryable: false },
  not_found: { code: "PROVIDER_NOT_FOUND", retryable: false },
  conflict: { code: "PROVIDER_CONFLICT", retryable: true },
  rate_limited: { code: "PROVIDER_RATE_LIMITED", retryable: true },
  overloaded: { code: "PROVIDER_OVERLOADED", retryable: true },
  quota_exhausted: { code: "PROVIDER_QUOTA_EXHAUSTED", retryable: false },
  server_error: { code: "PROVIDER_ERROR", retryable: true },
  attachment_missing: { code: "ATTACHMENT_MISSING", retryable: false },
  attachment_unreadable: { code: "ATTACHMENT_UNREADABLE", retryable: true },
  attachment_unsupported: { code: "ATTACHMENT_UNSUPPORTED", retryable: false },
  worker_lost: { code: "WORKER_LOST", retryable: true },
  not_storable: { code: "RESULT_NOT_STORABLE", retryable: false },
  interrupted_too_often: { code: "INTERRUPTED_TOO_OFTEN", retryable: false },
} as const satisfies Record<string, { code: string; retryable: boolean }>;
export type Cause = keyof typeof CAUSES;

/** Failures that every further call would meet: they pause a batch instead of failing its tasks one by one. */
export const HALTS = {
  quota_exhausted: {
    code: "provider_quota_exceeded",
    message:
      "The provider's quota is used up. Raise it or wait for the next period, then resume the batch.",
  },
  unauthorized: {
    code: "provider_unauthorized",
    message: "The provider refuses the API key. Correct it, then resume the batch.",
  },
} as const satisfies Partial<Record<Cause, { code: string; message: string }>>;
export type Halt = keyof typeof HALTS;

export function isHalt(cause: Cause | null | undefined): cause is Halt {
  return cause !== null && cause !== undefined && cause in HALTS;
}

/** Causes that mean that a provider is down, in contrast to one that only refuses a call. */
const DOWN: ReadonlySet<Cause> = new Set<Cause>([
  "connect_failed",
  "dns_failed",
  "tls_failed",
  "timeout",
  "connection_lost",
  "server_error",
  "overloaded",
]);

export function looksDown(cause: Cause): boolean {
  return DOWN.has(cause);
}

/** Nothing was sent, so a failure says nothing about the provider. */
const UNSENT: ReadonlySet<Cause> = new Set<Cause>([
  "worker_lost",
  "attachment_missing",
  "attachment_unreadable",
  "attachment_unsupported",
]);

export function isUnsent(cause: Cause): boolean {
  return UNSENT.has(cause);
}

/**
 * Whether the provider may have made an answer that did not arrive, which it may charge for. An error that it reports
 * itself is free.
 */
export function mayBeCharged({ cause, providerStatus }: Failure): boolean {
  return (cause === "timeout" || cause === "connection_lost") && providerStatus === null;
}

/** Causes that are not the request's fault and do not count as an attempt: the run waits and is sent again. */
export function isWaiting(cause: Cause): boolean {
  return cause === "rate_limited" || cause === "overloaded";
}

/** Statuses by which a gateway says that the provider behind it is down or accepts no requests for now. */
const NOBODY_THERE: ReadonlySet<number> = new Set([
  502, 503, 504, 521, 522, 523, 525, 526, 529, 530,
]);

/** Whether a call did not reach the provider, so its request cannot be the reason. */
export function reachedNobody(failure: Pick<Failure, "cause" | "providerStatus">): boolean {
  const { cause, providerStatus } = failure;
  if (cause === "connect_failed" || cause === "dns_failed") return true;
  return cause === "server_error" && NOBODY_THERE.has(providerStatus ?? 0);
}

export type Failure = {
  cause: Cause;
  message: string;
  providerStatus: number | null;
  /** How long the provider asked this program to wait, if it did. */
  retryAfterMs: number | null;
  requestId: string | null;
};

export type RetryPolicy = { maxRetries: number; baseMs: number; maxMs: number };

/** Whether a call was made to find out if its provider is back, and whether the run could go to another instead. */
export type Trial = "none" | "only way" | "beside others";

export type Decision = { kind: "retry"; at: number } | { kind: "wait" } | { kind: "fail" };

/** After this many refusals, each further one counts as a failed attempt. */
export const MOST_REFUSALS = 100;

/** A provider may ask for hours; beyond this a call is tried all the same. */
const LONGEST_RETRY_AFTER_MS = 3_600_000;

/**
 * Decides what follows a failed attempt. `failures` counts the failed attempts so far, this one included. A rate
 * limit or an overloaded provider is not a failure: the run waits until the pacer lets it start, unless it was
 * refused a hundred times (`earlier` attempts are on record). A trial call, made to find out whether the provider is
 * back (`trial`), does not count either if the provider cannot be reached or the run can go to another provider.
 * Otherwise the oldest waiting run would be every trial, and an outage would use up its retries. The wait is
 * exponential with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): anything from zero to
 * `baseMs · 2^(failures-1)`, at most `maxMs`; a wait that the provider asks for is waited out first.
 */
export function afterFailure(
  failure: Pick<Failure, "cause" | "retryAfterMs" | "providerStatus">,
  failures: number,
  policy: RetryPolicy,
  nowMs: number,
  random: () => number,
  { earlier, trial }: { earlier: number; trial: Trial } = { earlier: 0, trial: "none" },
): Decision {
  const isFailedTrial =
    (trial !== "none" && reachedNobody(failure)) ||
    (trial === "beside others" && looksDown(failure.cause));
  const isNoFault = isWaiting(failure.cause) || isFailedTrial;
  if (isNoFault && earlier < MOST_REFUSALS) return { kind: "wait" };
  if (!CAUSES[failure.cause].retryable || failures > policy.maxRetries) return { kind: "fail" };
  const ceiling = Math.min(policy.maxMs, policy.baseMs * 2 ** (failures - 1));
  const asked = Math.max(0, Math.min(failure.retryAfterMs ?? 0, LONGEST_RETRY_AFTER_MS));
  return { kind: "retry", at: Math.ceil(nowMs + asked + random() * ceiling) };
}
