/** A URL as it may be shown: without user, password, query and fragment. */
export function withoutSecrets(url: string): string {
  if (!URL.canParse(url)) return url.replace(/\?.*$/s, "");
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}
