import type { Context } from "../context.ts";
import { sha256Hex } from "../lib/hash.ts";
import { randomBase32 } from "../lib/ids.ts";
import type { By } from "../lib/write-whole.ts";

/** Marks temporary files, so that after a crash a server can recognise its own: servers may share a folder. */
export function writtenBy(
  { config, random }: Pick<Context, "config" | "random">,
  what: string,
): By {
  const owner = sha256Hex(`${config.databaseUrl} ${what}`).slice(0, 12);
  return { owner, mark: randomBase32(random, 8) };
}
