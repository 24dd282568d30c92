// The build writes this script into index.html. It requests the live state before the page's other files have
// arrived, because the answer needs as long as they do. `follow` takes over its answer.

import { keyName } from "./api/key-name.ts";

declare global {
  var firstLive: FirstLive | undefined;
}

export type FirstLive = { key: string; answer: Promise<Response>; abort: AbortController };

const root = new URL(".", location.href);
const key = sessionStorage.getItem(keyName(root));
if (key !== null) {
  const abort = new AbortController();
  const answer = fetch(new URL("api/v1/live", root), {
    headers: { authorization: `Bearer ${key}` },
    signal: abort.signal,
  });
  // `follow` handles the failure.
  answer.catch(() => undefined);
  globalThis.firstLive = { key, answer, abort };
}
