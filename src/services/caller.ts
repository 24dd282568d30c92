import type { Scope } from "../domain/scope.ts";
import { AppError } from "../errors.ts";
import type { ApiKey } from "../store/api-keys.ts";

/** Who makes a request: the row number and public id of an API key, and what it may do. */
export type Caller = {
  key: number;
  keyId: string;
  scopes: readonly Scope[];
  /** The key's own limit, or `null` for the server's. */
  rateLimitPerMinute: number | null;
  /** Whether the key has a monthly budget. */
  hasBudget: boolean;
  /** The hash of the secret that was sent, or of the secret that made the stream token that was sent. */
  secretHash: string;
  /** Until when the secret is valid, as far as known. */
  validUntil: number;
};

/** The error if a key expires or is revoked during its request. */
export const keyEnded = () => new AppError("UNAUTHORIZED", "The API key is no longer valid");

type Validity = Pick<
  ApiKey,
  "revokedAt" | "expiresAt" | "hash" | "previousHash" | "previousExpiresAt"
>;

/** Until when the secret with this hash is valid for the key; 0 if it is not valid now. */
export function endOfKey(key: Validity, secretHash: string): number {
  if (key.revokedAt !== null) return 0;
  const end = key.expiresAt ?? Infinity;
  if (secretHash === key.hash) return end;
  return secretHash === key.previousHash ? Math.min(end, key.previousExpiresAt ?? end) : 0;
}

export function toCaller(key: ApiKey, secretHash: string): Caller {
  const { seq, id, scopes, rateLimitPerMinute, monthlyBudgetUsd } = key;
  const validUntil = endOfKey(key, secretHash);
  const hasBudget = monthlyBudgetUsd !== null;
  return { key: seq, keyId: id, scopes, rateLimitPerMinute, hasBudget, secretHash, validUntil };
}
