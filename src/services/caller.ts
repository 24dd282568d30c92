import type { Scope } from "../domain/scope.ts";
import { AppError } from "../errors.ts";
import type { ApiKey } from "../store/api-keys.ts";

/** Who makes a request: the row number and public id of an API key, and what it may do. */
export type Caller = {
  key: number;
  keyId: string;
  scopes: readonly Scope[];
  /** A limit of its own, or `null` for the server's. */
  rateLimitPerMinute: number | null;
  /** It may spend so much in a month, and no more. */
  hasBudget: boolean;
  /** The secret that was sent, or with which the stream token was made that was sent, as its hash. */
  secretHash: string;
  /** Until when the secret is valid, as far as is known. */
  validUntil: number;
};

/** What is answered where a key ends during the request that came with it. */
export const keyEnded = () => new AppError("UNAUTHORIZED", "The API key is not valid any more");

type Validity = Pick<
  ApiKey,
  "revokedAt" | "expiresAt" | "hash" | "previousHash" | "previousExpiresAt"
>;

/** When the key stops to let in who holds the secret with this hash; 0 where it does not now. */
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
