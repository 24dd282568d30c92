import type { Context } from "../context.ts";
import { AppError, invalid } from "../errors.ts";
import type { LocalFile } from "../lib/file-store.ts";
import { RefusedTarget } from "../lib/guarded-target.ts";
import type { Caller } from "./caller.ts";
import { fetchFile } from "./files.ts";
import type { NamedFile } from "./input-text.ts";

/** The time limit for a whole file. */
const TIMEOUT_MS = 300_000;
const HOW_TO_ALLOW = "INPUT_ALLOWED_HOSTS opens hosts of your own network";

/** Whether an `inputFile` is a URL to fetch; URLs with other schemes are refused as paths. */
export function isUrl(inputFile: string): boolean {
  return /^https?:\/\//i.test(inputFile);
}

/**
 * The part of a URL that may be stored and shown: without its query, which may have signatures and tokens, and
 * without its user and fragment.
 */
export function shownUrl(text: string): string {
  if (!URL.canParse(text)) return "the URL";
  const { protocol, host, pathname } = new URL(text);
  return `${protocol}//${host}${pathname}`;
}

/** Downloads the file at a URL. Throws `VALIDATION_ERROR` if the URL is forbidden, or has no file. */
export async function fetchInput(
  ctx: Context,
  caller: Pick<Caller, "key">,
  url: string,
): Promise<LocalFile & NamedFile> {
  const name = shownUrl(url);
  const content = ctx.getInput(url, {
    rules: { allowedHosts: ctx.config.inputAllowedHosts, howToAllow: HOW_TO_ALLOW },
    resolveHost: ctx.resolveHost,
    clock: ctx.clock,
    timeoutMs: TIMEOUT_MS,
    maxPauseMs: ctx.config.bodyTimeoutMs,
    maxBytes: ctx.config.maxFileBytes,
  });
  try {
    return { name, ...(await fetchFile(ctx, caller, content)) };
  } catch (error) {
    if (error instanceof AppError) throw error;
    const why = error instanceof RefusedTarget ? error.message : whyUnreachable(error);
    throw invalid([{ path: "inputFile", message: `${name}: ${why}` }]);
  }
}

/** Messages of network errors may contain addresses, so only their codes are used. */
function whyUnreachable(error: unknown): string {
  if (!(error instanceof Error && "code" in error)) throw error;
  return `cannot be fetched (${String(error.code).slice(0, 60)})`;
}
