import { resolve } from "node:path";

/** A URL without user, password, query and fragment, so that it can be shown. */
export function withoutSecrets(url: string): string {
  if (!URL.canParse(url)) return url.replace(/\?.*$/s, "");
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** The path of a `file:` URL as SQLite reads it; `undefined` for other URLs. */
export function filePathOf(url: string): string | undefined {
  return url.startsWith("file:") ? resolve(url.slice("file:".length)) : undefined;
}
