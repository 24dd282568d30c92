import { getLogger } from "@logtape/logtape";
import type { Context } from "hono";
import ipaddr from "ipaddr.js";

import type { AppEnv } from "./router.ts";

/**
 * The address that a request comes from. Behind TRUSTED_PROXY_HOPS proxies it is the address that the outermost of
 * them wrote into `X-Forwarded-For`; anything further left comes from the client and is not trusted.
 */
export function addressOf(c: Context<AppEnv>): string | undefined {
  const hops = c.get("ctx").config.trustedProxyHops;
  const forwarded = hops > 0 ? c.req.header("x-forwarded-for")?.split(",").at(-hops) : undefined;
  return readAddress(forwarded) ?? readAddress(c.env?.address?.());
}

/**
 * Normalises an address to its shortest form, so that all forms count as one: with a port (Azure's gateways), in
 * brackets, with a zone, or as IPv4 within IPv6. `undefined` for any other text.
 */
function readAddress(text: string | undefined): string | undefined {
  const bare = text?.trim().replace(/^"(.*)"$/, "$1") ?? "";
  const host = /^\[([^\]]*)\](:\d+)?$/.exec(bare)?.[1] ?? bare.replace(/^([\d.]+):\d+$/, "$1");
  if (ipaddr.IPv4.isValidFourPartDecimal(host)) return host;
  const address = host.replace(/%.*$/, "");
  if (!ipaddr.IPv6.isValid(address)) return undefined;
  const parsed = ipaddr.process(address);
  return parsed instanceof ipaddr.IPv6 ? parsed.toRFC5952String() : parsed.toString();
}

/**
 * Logs once that a proxy in front is not configured: all clients then share its address, and the wrong keys of one of
 * them block all of them.
 */
export function createProxyWarning(): (c: Context<AppEnv>) => void {
  const log = getLogger(["gptrunner", "http"]);
  let hasWarned = false;
  return (c) => {
    if (hasWarned || c.get("ctx").config.trustedProxyHops > 0) return;
    if (c.req.header("x-forwarded-for") === undefined) return;
    hasWarned = true;
    log.warn(
      "Requests come with X-Forwarded-For although TRUSTED_PROXY_HOPS is 0: to this server all clients " +
        "behind the proxy have its address. Set TRUSTED_PROXY_HOPS to the number of proxies in front",
    );
  };
}

/**
 * The network that a request comes from: an IPv4 address, or the first half of an IPv6 address, because a single
 * machine can use any number of addresses in its network.
 */
export function networkOf(c: Context<AppEnv>): string {
  const address = addressOf(c) ?? "unknown";
  if (!ipaddr.IPv6.isValid(address)) return address;
  const start = ipaddr.IPv6.parse(address).parts.slice(0, 4);
  return `${start.map((part) => part.toString(16)).join(":")}::/64`;
}
