import { lookup } from "node:dns/promises";
import { type ClientRequest, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP } from "node:net";

import { isPublicAddress } from "./public-address.ts";

/** The addresses of a host name. */
export type ResolveHost = (host: string) => Promise<string[]>;

export const resolveHost: ResolveHost = async (host) =>
  (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);

/** Hosts (`host` or `host:port`) that may be private, and the sentence in a refusal that names the setting. */
export type TargetRules = { allowedHosts: readonly string[]; howToAllow: string };

const MOST_ADDRESSES = 3;
const LONGEST_TARGET = 2000;
const NOT_REACHED = /^E(CONNREFUSED|NETUNREACH|HOSTUNREACH|ADDRNOTAVAIL)$/;

/** A target is refused; the message says why, for the client that named it. */
export class RefusedTarget extends Error {
  override readonly name = "RefusedTarget";
}

/** Ports below 1024 that carry the web; above, those that browsers refuse (https://fetch.spec.whatwg.org/#port-blocking). */
const LOW_PORTS = new Set([80, 443]);
const BLOCKED_PORTS = new Set([
  1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669,
  6679, 6697, 10080,
]);

/**
 * Parses the URL of a request. Throws `RefusedTarget` for everything that can be refused without a DNS query: other
 * schemes, user names, ports of other services, private addresses in whatever spelling (`http://2130706433/` is
 * 127.0.0.1, which the URL parser sees to). `allowedHosts` (`host` or `host:port`) are exempt from the rules about
 * ports and addresses.
 */
export function readTarget(text: string, { allowedHosts, howToAllow }: TargetRules): URL {
  if (text.length > LONGEST_TARGET)
    throw new RefusedTarget(`must have ${LONGEST_TARGET} characters at most`);
  // The URL parser would drop them without an error.
  if (/\p{Cc}/u.test(text)) throw new RefusedTarget("must not contain control characters");
  if (!URL.canParse(text))
    throw new RefusedTarget("must be a URL such as https://example.com/hook");
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw new RefusedTarget("must begin with https:// or http://");
  if (url.username !== "" || url.password !== "")
    throw new RefusedTarget("must not contain a user name or password");
  if (isAllowed(url, allowedHosts)) return url;
  const port = portOf(url);
  if (port < 1024 ? !LOW_PORTS.has(port) : BLOCKED_PORTS.has(port))
    throw new RefusedTarget(`must not name port ${port}, which is not for HTTP; use another port`);
  const host = hostOf(url);
  const isLocal = /(^|\.)localhost\.?$/i.test(host) || (isIP(host) > 0 && !isPublicAddress(host));
  if (isLocal) throw new RefusedTarget(`must not be a private address; ${howToAllow}`);
  return url;
}

/** Resolves a target and checks all its addresses. Throws `RefusedTarget` if one is private. */
export async function checkedAddresses(
  url: URL,
  { allowedHosts, howToAllow }: TargetRules,
  resolve: ResolveHost,
): Promise<{ addresses: string[]; isPrivate: boolean }> {
  const addresses = await addressesOf(url, resolve);
  const isPrivate = addresses.some((address) => !isPublicAddress(address));
  if (isPrivate && !isAllowed(url, allowedHosts))
    throw new RefusedTarget(`${hostOf(url)} is a private address; ${howToAllow}`);
  return { addresses: addresses.slice(0, MOST_ADDRESSES), isPrivate };
}

/** The error message if a target takes too long. */
export const NO_ANSWER = "no answer in time";

/** A request to an address that was checked, with the name in `Host` and in TLS. */
export function requestTo(
  address: string,
  url: URL,
  {
    method,
    headers,
    ca,
  }: { method: string; headers: Record<string, string | number>; ca?: string },
): ClientRequest {
  const host = hostOf(url);
  const isSecure = url.protocol === "https:";
  return (isSecure ? requestHttps : requestHttp)({
    host: address,
    port: portOf(url),
    path: url.pathname + url.search,
    method,
    // Connections are not shared: each goes to the address that was checked for it.
    agent: false,
    headers: { ...headers, host: url.host },
    ...(isSecure && isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === undefined ? {} : { ca }),
  });
}

/** Tries the checked addresses one after the other, until one can be reached. */
export async function atOneOf<T>(
  addresses: readonly string[],
  attempt: (address: string) => Promise<T>,
): Promise<T> {
  let failure: unknown;
  for (const address of addresses)
    try {
      return await attempt(address);
    } catch (error) {
      failure = error;
      if (!NOT_REACHED.test(codeOf(error))) break;
    }
  throw failure;
}

async function addressesOf(url: URL, resolve: ResolveHost): Promise<string[]> {
  const host = hostOf(url);
  const addresses = isIP(host) > 0 ? [host] : await resolve(host);
  if (addresses.length === 0) throw new Error(`${host} has no address`);
  return addresses;
}

/** The result of the work, unless `deadline` aborts first. */
export function inTime<T>(work: Promise<T>, deadline: AbortSignal): Promise<T> {
  return Promise.race([
    work,
    new Promise<never>((_, reject) =>
      deadline.addEventListener("abort", () => reject(new Error(NO_ANSWER)), {
        once: true,
      }),
    ),
  ]);
}

/** The host without the brackets of IPv6. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1");
}

function portOf(url: URL): number {
  return url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
}

export function isAllowed(url: URL, allowedHosts: readonly string[]): boolean {
  const names = new Set([hostOf(url), url.host, `${hostOf(url)}:${portOf(url)}`]);
  return allowedHosts.some((allowed) => names.has(allowed.toLowerCase()));
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
