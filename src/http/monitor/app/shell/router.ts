// Every state of the page has an address after the `#`, so the server need not know them, and the path of a proxy is
// kept.

import { computed, signal } from "@preact/signals";

export type Route = { parts: string[]; query: URLSearchParams };

const hash = signal(location.hash);
let isGoingBack = false;
addEventListener("hashchange", () => {
  hash.value = location.hash;
  isGoingBack = false;
});

export const route = computed((): Route => {
  const [path = "", query = ""] = hash.value.replace(/^#\/?/, "").split("?");
  return {
    parts: path.split("/").filter(Boolean).map(decode),
    query: new URLSearchParams(query),
  };
});

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The address of a state. Empty values of the query are left out. */
export function href(parts: string[], query: Record<string, string | undefined> = {}): string {
  const given = Object.entries(query).filter((pair): pair is [string, string] => Boolean(pair[1]));
  const search = new URLSearchParams(given).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${search === "" ? "" : `?${search}`}`;
}

export function go(to: string): void {
  location.hash = to;
}

type Changes = Record<string, string | undefined>;

/** Changes the query of the address without a new entry in the history, for typed text. */
export function replaceQuery(changes: Changes): void {
  const to = changed(changes);
  history.replaceState(history.state, "", to);
  hash.value = to;
}

/** Opens something above the current page, so that going back closes it. */
export function openAbove(changes: Changes): void {
  const to = changed(changes);
  history.pushState({ isAbove: true }, "", to);
  hash.value = to;
}

/** Closes it by going back, or, if the page was opened with this address, by a change of the query. */
export function closeAbove(changes: Changes): void {
  // The browser goes back some moments later. A second Escape until then must not leave the page.
  if (isGoingBack) return;
  if ((history.state as { isAbove?: true } | null)?.isAbove) {
    isGoingBack = true;
    history.back();
  } else replaceQuery(changes);
}

function changed(changes: Changes): string {
  const { parts, query } = route.value;
  return href(parts, { ...Object.fromEntries(query), ...changes });
}
