import { lookup } from "node:dns/promises";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP } from "node:net";

import type { Clock } from "./clock.ts";
import { isPublicAddress } from "./public-address.ts";

/** The addresses of a host name. */
export type ResolveHost = (host: string) => Promise<string[]>;

export const resolveHost: ResolveHost = async (host) =>
  (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);

/** A target that nothing is sent to; the message says why, for whoever named it. */
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
 * Reads an address that is to be posted to. Throws `RefusedTarget` for what is refused without
 * asking the DNS: other schemes, user names, ports of other services, private addresses in whatever
 * spelling (`http://2130706433/` is 127.0.0.1, which the URL parser sees to). `allowedHosts` (`host`
 * or `host:port`) are exempt from the rules about ports and addresses.
 */
export function readTarget(text: string, allowedHosts: readonly string[]): URL {
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
    throw new RefusedTarget(`must not name port ${port}`);
  const host = hostOf(url);
  const isLocal = /(^|\.)localhost\.?$/i.test(host) || (isIP(host) > 0 && !isPublicAddress(host));
  if (isLocal) throw new RefusedTarget(`must not be a private address; ${HOW_TO_ALLOW}`);
  return url;
}

const HOW_TO_ALLOW = "WEBHOOK_ALLOWED_HOSTS opens hosts of your own network";

export type PostOptions = {
  headers: Record<string, string>;
  body: string;
  timeoutMs: number;
  allowedHosts: readonly string[];
  resolveHost: ResolveHost;
  clock: Pick<Clock, "setTimeout">;
  /** Certificates to trust besides those of the system. */
  ca?: string;
};

export type PostAnswer = {
  status: number;
  retryAfter: string | undefined;
  /** The first kilobyte of the answer, or what of it came in time. */
  text: string;
  /** The answer came from an address that is not public, so it may tell what is nobody's business. */
  isPrivate: boolean;
};

/** What the error says where a target took too long. */
export const NO_ANSWER = "no answer in time";

const MOST_TEXT = 1024;
/** The status decides; an answer's text has this long to follow. */
const TEXT_MS = 500;
const MOST_ADDRESSES = 3;
const NOT_REACHED = /^E(CONNREFUSED|NETUNREACH|HOSTUNREACH|ADDRNOTAVAIL)$/;

/**
 * Posts to a host of the public internet and to no other. The name is resolved once, all its
 * addresses are checked, and the connection goes to one of those that were checked, with the name in
 * `Host` and in TLS: a name that resolves differently the next moment (DNS rebinding) gains nothing.
 * Redirects are not followed. Throws `RefusedTarget`, or the error of the network.
 */
export async function postGuarded(text: string, options: PostOptions): Promise<PostAnswer> {
  const late = new AbortController();
  const cancel = options.clock.setTimeout(() => late.abort(), options.timeoutMs);
  try {
    return await postBefore(late.signal, text, options);
  } finally {
    cancel();
  }
}

async function postBefore(
  deadline: AbortSignal,
  text: string,
  options: PostOptions,
): Promise<PostAnswer> {
  const url = readTarget(text, options.allowedHosts);
  const addresses = await inTime(addressesOf(url, options.resolveHost), deadline);
  const isPrivate = addresses.some((address) => !isPublicAddress(address));
  if (isPrivate && !isAllowed(url, options.allowedHosts))
    throw new RefusedTarget(`${hostOf(url)} is a private address; ${HOW_TO_ALLOW}`);
  let failure: unknown;
  for (const address of addresses.slice(0, MOST_ADDRESSES))
    try {
      return { ...(await postTo(address, url, options, deadline)), isPrivate };
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

function postTo(
  address: string,
  url: URL,
  { headers, body, ca, clock }: PostOptions,
  deadline: AbortSignal,
): Promise<Omit<PostAnswer, "isPrivate">> {
  const host = hostOf(url);
  const isSecure = url.protocol === "https:";
  return new Promise((resolve, reject) => {
    const request = (isSecure ? requestHttps : requestHttp)({
      host: address,
      port: portOf(url),
      path: url.pathname + url.search,
      method: "POST",
      // Connections are not shared: each goes to the address that was checked for it.
      agent: false,
      headers: { ...headers, host: url.host, "content-length": Buffer.byteLength(body) },
      ...(isSecure && isIP(host) === 0 ? { servername: host } : {}),
      ...(ca === undefined ? {} : { ca }),
    });
    const giveUp = () => {
      request.destroy();
      reject(new Error(NO_ANSWER));
    };
    deadline.addEventListener("abort", giveUp, { once: true });
    request.on("error", reject);
    request.on("response", (response) => {
      // It has answered. How the body ends, or that it does not, changes nothing about that.
      deadline.removeEventListener("abort", giveUp);
      readText(response, clock, (text) => {
        request.destroy();
        resolve({
          status: response.statusCode ?? 0,
          retryAfter: response.headers["retry-after"],
          text,
        });
      });
    });
    request.end(body);
  });
}

/** Hands over the beginning of a body once: when it is there, ends, breaks off or takes too long. */
function readText(
  response: IncomingMessage,
  clock: PostOptions["clock"],
  done: (text: string) => void,
): void {
  const pieces: Buffer[] = [];
  let size = 0;
  let isDone = false;
  const finish = () => {
    if (isDone) return;
    isDone = true;
    cancel();
    done(Buffer.concat(pieces).subarray(0, MOST_TEXT).toString());
  };
  const cancel = clock.setTimeout(finish, TEXT_MS);
  response.on("data", (piece: Buffer) => {
    pieces.push(piece);
    size += piece.length;
    if (size >= MOST_TEXT) finish();
  });
  for (const end of ["end", "error", "close"]) response.on(end, finish);
}

function inTime<T>(work: Promise<T>, deadline: AbortSignal): Promise<T> {
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

function isAllowed(url: URL, allowedHosts: readonly string[]): boolean {
  const names = new Set([hostOf(url), url.host, `${hostOf(url)}:${portOf(url)}`]);
  return allowedHosts.some((allowed) => names.has(allowed.toLowerCase()));
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
