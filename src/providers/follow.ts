import { plainAddress } from "./classify.ts";
import type { Fetch } from "./outside.ts";

const MOST_REDIRECTS = 3;

/**
 * Sends a request, and again to where the same host says that it has moved: left to itself `fetch` makes
 * a GET of it. Nothing is sent to another host, because it would get the key and the prompt.
 */
export async function follow(send: Fetch, url: string, init: RequestInit): Promise<Response> {
  let at = url;
  for (let left = MOST_REDIRECTS; ; left--) {
    const reply = await send(at, { ...init, redirect: "manual" });
    const location = reply.headers.get("location");
    if (reply.status < 300 || reply.status > 399 || !location) return reply;
    const next = URL.canParse(location, at) ? new URL(location, at) : null;
    if (left === 0 || !next || !isSameServer(new URL(at), next)) return refusal(next, reply);
    await reply.body?.cancel();
    at = next.href;
  }
}

/** The same place, or the same host by a secure connection. */
function isSameServer(from: URL, to: URL): boolean {
  return from.origin === to.origin || (from.hostname === to.hostname && to.protocol === "https:");
}

/** In place of a redirect that is not followed: what to do about it. */
function refusal(to: URL | null, { status }: Response): Response {
  const where = to ? plainAddress(to.href) : "no valid address";
  const message = `The provider's address redirects to ${where}; set the base URL (OPENAI_BASE_URL, or baseUrl in PROVIDERS_FILE) to where the API is`;
  return Response.json({ error: { message } }, { status });
}
