import type { Context } from "../context.ts";
import { accountName, keysOf } from "../domain/provider.ts";
import { clearAlert, listOpenAlerts } from "./alerts.ts";

/**
 * Clears the alerts of providers and keys that the configuration no longer has, since nothing else would. On a shared
 * database other processes may have them.
 */
export async function clearForsaken(ctx: Context): Promise<void> {
  if (!ctx.isExclusive) return;
  const known = new Set(
    ctx.config.providers.flatMap((provider) =>
      keysOf(provider).map((_, key) => accountName(provider, key)),
    ),
  );
  for (const { code, subject } of await listOpenAlerts(ctx))
    if (code.startsWith("provider.") && !known.has(subject)) await clearAlert(ctx, code, subject);
}
