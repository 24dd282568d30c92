import type { Scope } from "../domain/scope.ts";

/** Who makes a request: the row number and public id of an API key, and what it may do. */
export type Caller = {
  key: number;
  keyId: string;
  scopes: readonly Scope[];
  /** A limit of its own, or `null` for the server's. */
  rateLimitPerMinute: number | null;
};
