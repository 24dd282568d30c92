import type { Context } from "../context.ts";
import { AppError, invalid } from "../errors.ts";
import type { LocalFile } from "../lib/file-store.ts";
import { RefusedTarget } from "../lib/guarded-target.ts";
import type { Caller } from "./caller.ts";
import { fetchFile } from "./files.ts";
import type { NamedFile } from "./input-text.ts";

/** For a file as a whole. */
const TIMEOUT_MS = 300_000;
const HOW_TO_ALLOW = "INPUT_ALLOWED_HOSTS opens hosts of your own network";

/** Whether an `inputFile` is a URL that may be fetched; those of other schemes are refused as paths. */
export function isUrl(inputFile: string): boolean {
  return /^https?:\/\//i.test(inputFile);
}

/**
 * A URL as it may be kept and shown: without its query, which is where signatures and tokens are, and
 * without the rest that is no file's name.
 */
export function shownUrl(text: string): string {
  if (!URL.canParse(text)) return "the URL";
  const { protocol, host, pathname } = new URL(text);
  return `${protocol}//${host}${pathname}`;
}

/** Fetches the file at a URL. Throws `VALIDATION_ERROR` where that may not be asked, or has no file. */
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

/** Errors of the network may have addresses in them; their codes have none. */
function whyUnreachable(error: unknown): string {
  if (!(error instanceof Error && "code" in error)) throw error;
  return `cannot be fetched (${String(error.code).slice(0, 60)})`;
}
