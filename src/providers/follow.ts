import { plainAddress } from "./classify.ts";
import type { Fetch } from "./outside.ts";

const MOST_REDIRECTS = 3;

/** A request whose redirects `fetch` does not follow. */
export type ManualInit = RequestInit & { redirect: "manual" };

/**
 * Sends a request and follows redirects to the same host with the same method, which `fetch` itself would change to
 * GET. Redirects to other hosts are not followed, because they would get the key and the prompt.
 */
export async function follow(send: Fetch, url: string, init: ManualInit): Promise<Response> {
  let at = url;
  for (let left = MOST_REDIRECTS; ; left--) {
    const reply = await send(at, init);
    if (reply.status < 300 || reply.status > 399) return reply;
    const location = reply.headers.get("location");
    if (!location) return reply;
    const next = URL.canParse(location, at) ? new URL(location, at) : null;
    if (left === 0 || !next || !isSameServer(new URL(at), next)) return refusal(next, reply);
    await reply.body?.cancel();
    at = next.href;
  }
}

/** The same origin, or the same host over HTTPS. */
function isSameServer(from: URL, to: URL): boolean {
  return from.origin === to.origin || (from.hostname === to.hostname && to.protocol === "https:");
}

/** The answer instead of a redirect that is not followed; it says what to do. */
function refusal(to: URL | null, { status }: Response): Response {
  const where = to ? plainAddress(to.href) : "no valid address";
  const message = `The provider's address redirects to ${where}; set the base URL (OPENAI_BASE_URL, or baseUrl in PROVIDERS_FILE) to where the API is`;
  return Response.json({ error: { message } }, { status });
}
