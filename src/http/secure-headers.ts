import { createHash } from "node:crypto";

/** The policy of an answer that a browser displays: it may load nothing. Pages have their own (`pagePolicy`). */
const NO_PAGE = "default-src 'none'; frame-ancestors 'none'";

const ALWAYS: Record<string, string> = {
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
};

/** Defaults of headers. Prompts and results must not be stored in caches. */
const UNLESS_SET: Record<string, string> = {
  "Content-Security-Policy": NO_PAGE,
  "Cache-Control": "no-store",
};

export function secure(headers: Headers): void {
  for (const name in ALWAYS) headers.set(name, ALWAYS[name] ?? "");
  for (const name in UNLESS_SET) if (!headers.has(name)) headers.set(name, UNLESS_SET[name] ?? "");
}

const INLINE_SCRIPT = /<script>([\s\S]*?)<\/script>/g;

/**
 * The Content-Security-Policy of one of this server's pages: it loads only from this server and runs only the inline
 * scripts in `html`, by their hashes. `html` must contain nothing that a user wrote.
 */
export function pagePolicy(html: string): string {
  const hashes = [...html.matchAll(INLINE_SCRIPT)].map(
    ([, script = ""]) => `'sha256-${createHash("sha256").update(script).digest("base64")}'`,
  );
  return [
    "default-src 'none'",
    ["script-src 'self'", ...hashes].join(" "),
    // Swagger UI and the plots set inline styles.
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
