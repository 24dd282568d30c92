import { getLogger } from "@logtape/logtape";
import type { Context } from "hono";

import type { AppEnv } from "./router.ts";

/**
 * The address that a request comes from. Behind TRUSTED_PROXY_HOPS proxies it is what the outermost of
 * them wrote into `X-Forwarded-For`; anything further left is the client's own claim.
 */
export function addressOf(c: Context<AppEnv>): string | undefined {
  const hops = c.var.ctx.config.trustedProxyHops;
  const forwarded = hops > 0 ? c.req.header("x-forwarded-for")?.split(",").at(-hops) : undefined;
  return forwarded?.trim() || c.env?.address?.();
}

/**
 * Says once, in the log, that a proxy in front is not configured: all clients then share its address,
 * and the wrong keys of one of them block it for all.
 */
export function createProxyWarning(): (c: Context<AppEnv>) => void {
  const log = getLogger(["gptrunner", "http"]);
  let isTold = false;
  return (c) => {
    if (isTold || c.var.ctx.config.trustedProxyHops > 0) return;
    if (c.req.header("x-forwarded-for") === undefined) return;
    isTold = true;
    log.warn(
      "Requests come with X-Forwarded-For although TRUSTED_PROXY_HOPS is 0: to this server all clients " +
        "behind the proxy have its address. Set TRUSTED_PROXY_HOPS to the number of proxies in front",
    );
  };
}

/**
 * The network that a request comes from: an IPv4 address, or the first half of an IPv6 one, of which
 * a single machine can have as many as it likes.
 */
export function networkOf(c: Context<AppEnv>): string {
  const address = addressOf(c) ?? "unknown";
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
