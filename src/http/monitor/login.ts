import type { Clock } from "../../lib/clock.ts";
import { sha256Hex } from "../../lib/hash.ts";
import { randomSecret } from "../../lib/secrets.ts";

/** The login link that the first start prints beside its new key. */
export type FirstLogin = {
  /** The token after the `#` of the link; `undefined` if this start made no key. */
  token: string | undefined;
  /** The key, for `Bearer TOKEN`, once. */
  redeem(authorization: string): string | undefined;
};

const VALID_MS = 60 * 60_000;

/**
 * The key stays in memory until the link is used, for an hour at most. The link contains only the token, never the
 * key.
 */
export function createFirstLogin(
  clock: Pick<Clock, "monotonic">,
  firstKey: string | undefined,
): FirstLogin {
  let key = firstKey;
  const token = key === undefined ? undefined : `gtl_${randomSecret(32)}`;
  const until = clock.monotonic() + VALID_MS;
  return {
    token,
    redeem(authorization) {
      if (clock.monotonic() > until) key = undefined;
      // Hashes are compared, so that the time of the comparison reveals nothing about the token.
      const isRight = sha256Hex(authorization) === sha256Hex(`Bearer ${token}`);
      if (key === undefined || !isRight) return undefined;
      const redeemed = key;
      key = undefined;
      return redeemed;
    },
  };
}
