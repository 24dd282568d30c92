import type { Context } from "../context.ts";
import { listKeysBySeq } from "../store/api-keys.ts";

/**
 * Why work that a key pays for must not run any more: the key (by row number) is not valid. `use` says what it was
 * used for: "created with".
 */
export async function whyKeyIsInvalid(
  { db, clock }: Pick<Context, "db" | "clock">,
  apiKey: number,
  use: string,
  now = clock.now(),
): Promise<string | undefined> {
  const [key] = await listKeysBySeq(db, [apiKey]);
  if (!key) return undefined;
  const { id, name, revokedAt, expiresAt } = key;
  const which = `The API key that it was ${use} (${id}, ${name})`;
  if (revokedAt !== null && revokedAt <= now) return `${which} was revoked`;
  if (expiresAt !== null && expiresAt <= now) return `${which} has expired`;
  return undefined;
}
