import type { IncomingMessage } from "node:http";

import type { Cancel, Clock } from "./clock.ts";
import {
  atOneOf,
  checkedAddresses,
  inTime,
  isAllowed,
  NO_ANSWER,
  readTarget,
  RefusedTarget,
  requestTo,
  type ResolveHost,
  type TargetRules,
} from "./guarded-target.ts";

export type GetOptions = {
  rules: TargetRules;
  resolveHost: ResolveHost;
  clock: Pick<Clock, "setTimeout">;
  /** For the whole download, from the first DNS query to the last byte. */
  timeoutMs: number;
  /** The longest wait for the next bytes. */
  maxPauseMs: number;
  maxBytes: number;
  /** Certificates to trust besides those of the system. */
  ca?: string;
};

const MOST_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Downloads from a host of the public internet only. Each address is checked as that of a webhook is
 * (`guarded-post.ts`), also those of redirects. The request does not identify the client. Throws `RefusedTarget` if
 * there is no file; the message contains nothing of the URL except its host.
 */
export async function* getGuarded(text: string, options: GetOptions): AsyncGenerator<Uint8Array> {
  const late = new AbortController();
  const cancel = options.clock.setTimeout(() => late.abort(), options.timeoutMs);
  let response: IncomingMessage | undefined;
  try {
    response = await findFile(text, options, late.signal);
    yield* bodyOf(response, options, late.signal);
  } catch (error) {
    if (late.signal.aborted)
      throw new RefusedTarget(`was not there whole within ${options.timeoutMs / 1000} s`);
    throw error;
  } finally {
    cancel();
    response?.destroy();
  }
}

async function findFile(
  text: string,
  options: GetOptions,
  deadline: AbortSignal,
): Promise<IncomingMessage> {
  let url = readSecure(text, options.rules);
  for (let hops = 0; ; hops++) {
    const checked = checkedAddresses(url, options.rules, options.resolveHost);
    const { addresses } = await inTime(checked, deadline);
    const target = url;
    const response = await atOneOf(addresses, (address) => ask(address, target, options, deadline));
    const status = response.statusCode ?? 0;
    if (status === 200) return response;
    response.destroy();
    const { location } = response.headers;
    if (!REDIRECTS.has(status) || location === undefined)
      throw new RefusedTarget(`${url.host} answered with status ${status}`);
    if (hops === MOST_REDIRECTS)
      throw new RefusedTarget(
        `leads from one address to another more than ${MOST_REDIRECTS} times`,
      );
    if (!URL.canParse(location, url))
      throw new RefusedTarget(`${url.host} redirects to an invalid URL`);
    url = readRedirect(new URL(location, url), url.host, options.rules);
  }
}

function readSecure(text: string, rules: TargetRules): URL {
  const url = readTarget(text, rules);
  if (url.protocol !== "https:" && !isAllowed(url, rules.allowedHosts))
    throw new RefusedTarget("must begin with https://");
  return url;
}

function readRedirect(to: URL, from: string, rules: TargetRules): URL {
  try {
    return readSecure(to.href, rules);
  } catch (error) {
    if (!(error instanceof RefusedTarget)) throw error;
    throw new RefusedTarget(`${from} redirects to ${to.host}, and the address ${error.message}`);
  }
}

function ask(
  address: string,
  url: URL,
  { ca, clock, maxPauseMs }: GetOptions,
  deadline: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = requestTo(address, url, {
      method: "GET",
      headers: { accept: "*/*", "accept-encoding": "identity", "user-agent": "gpt-task-runner" },
      ...(ca === undefined ? {} : { ca }),
    });
    const giveUp = () => {
      request.destroy();
      reject(new RefusedTarget(NO_ANSWER));
    };
    const cancel = clock.setTimeout(giveUp, maxPauseMs);
    deadline.addEventListener("abort", giveUp, { once: true });
    const settle = () => {
      cancel();
      deadline.removeEventListener("abort", giveUp);
    };
    request.on("error", (error) => {
      settle();
      reject(error);
    });
    request.on("response", (response) => {
      settle();
      resolve(response);
    });
    request.end();
  });
}

async function* bodyOf(
  response: IncomingMessage,
  { clock, maxPauseMs, maxBytes }: GetOptions,
  deadline: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { "content-length": length, "content-encoding": encoding = "identity" } = response.headers;
  if (encoding !== "identity")
    throw new RefusedTarget(`is sent compressed (${encoding.slice(0, 20)})`);
  const tooLarge = new RefusedTarget(`is larger than ${maxBytes} bytes (MAX_FILE_BYTES)`);
  if (Number(length ?? 0) > maxBytes) throw tooLarge;
  let cancelPause: Cancel = () => {};
  const restartPause = () => {
    cancelPause();
    cancelPause = clock.setTimeout(
      () => response.destroy(new RefusedTarget(`sent nothing for ${maxPauseMs / 1000} s`)),
      maxPauseMs,
    );
  };
  const giveUp = () => response.destroy(new RefusedTarget(NO_ANSWER));
  deadline.addEventListener("abort", giveUp, { once: true });
  let bytes = 0;
  try {
    restartPause();
    for await (const piece of response as AsyncIterable<Uint8Array>) {
      bytes += piece.length;
      if (bytes > maxBytes) throw tooLarge;
      cancelPause();
      yield piece;
      restartPause();
    }
  } finally {
    cancelPause();
    deadline.removeEventListener("abort", giveUp);
  }
  if (!response.complete || (length !== undefined && bytes !== Number(length)))
    throw new RefusedTarget(`broke off after ${bytes} bytes`);
}
