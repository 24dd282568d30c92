import type { IncomingMessage } from "node:http";

import type { Clock } from "./clock.ts";
import {
  atOneOf,
  checkedAddresses,
  inTime,
  NO_ANSWER,
  readTarget,
  requestTo,
  type ResolveHost,
} from "./guarded-target.ts";

export const HOW_TO_ALLOW = "WEBHOOK_ALLOWED_HOSTS opens hosts of your own network";

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
  /** The first kilobyte of the answer, or as much of it as came in time. */
  text: string;
  /** The answer came from an address that is not public, so it may hold confidential data. */
  isPrivate: boolean;
};

const MOST_TEXT = 1024;
/** The status decides. The text of the answer must follow within this time. */
const TEXT_MS = 500;

/**
 * Posts to a host of the public internet only. The name is resolved once, all its addresses are checked, and the
 * connection goes to one of those that were checked, with the name in `Host` and in TLS: so DNS rebinding, where a
 * name resolves differently a moment later, gains nothing. Redirects are not followed. Throws `RefusedTarget`, or the
 * error of the network.
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
  const rules = { allowedHosts: options.allowedHosts, howToAllow: HOW_TO_ALLOW };
  const url = readTarget(text, rules);
  const checked = checkedAddresses(url, rules, options.resolveHost);
  const { addresses, isPrivate } = await inTime(checked, deadline);
  const answer = await atOneOf(addresses, (address) => postTo(address, url, options, deadline));
  return { ...answer, isPrivate };
}

function postTo(
  address: string,
  url: URL,
  { headers, body, ca, clock }: PostOptions,
  deadline: AbortSignal,
): Promise<Omit<PostAnswer, "isPrivate">> {
  return new Promise((resolve, reject) => {
    const request = requestTo(address, url, {
      method: "POST",
      headers: { ...headers, "content-length": Buffer.byteLength(body) },
      ...(ca === undefined ? {} : { ca }),
    });
    const giveUp = () => {
      request.destroy();
      reject(new Error(NO_ANSWER));
    };
    deadline.addEventListener("abort", giveUp, { once: true });
    request.on("error", reject);
    request.on("response", (response) => {
      // The server has answered. How the body ends, or that it does not, no longer matters. A reset or a malformed body
      // is an error of the request, too.
      deadline.removeEventListener("abort", giveUp);
      request.off("error", reject).on("error", () => {});
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

/** Passes on the beginning of a body, once: when it has come, or the body ends, breaks off or takes too long. */
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
