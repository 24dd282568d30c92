import type { Context } from "hono";

import type { AppEnv } from "./router.ts";

/**
 * The network that a request comes from: an IPv4 address, or the first half of an IPv6 one, of which
 * a single machine can have as many as it likes. Behind TRUSTED_PROXY_HOPS proxies it is what the
 * outermost of them wrote into `X-Forwarded-For`; anything further left is the client's own claim.
 */
export function addressOf(c: Context<AppEnv>): string {
  const hops = c.var.ctx.config.trustedProxyHops;
  const forwarded = hops > 0 ? c.req.header("x-forwarded-for")?.split(",").at(-hops) : undefined;
  const address = forwarded?.trim() || c.env?.address?.() || "unknown";
  if (!address.includes(":") || address.startsWith("::ffff:")) return address;
  return expandedStart(address);
}

/** The first four groups of an IPv6 address. */
function expandedStart(address: string): string {
  const [before = "", after] = address.split("::");
  const groups = before.split(":").filter((group) => group !== "");
  if (after !== undefined) {
    const missing = 8 - groups.length - after.split(":").filter((group) => group !== "").length;
    groups.push(...Array.from({ length: Math.max(0, missing) }, () => "0"));
  }
  return `${groups.slice(0, 4).join(":")}::/64`;
}
