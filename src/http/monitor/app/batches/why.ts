import type { LiveBatch } from "../api/wire.ts";
import { ago, plural } from "../ui/format.ts";

const ENDED = new Set(["completed", "failed", "cancelled"]);
export const hasEnded = (status: string): boolean => ENDED.has(status);

/** Whether it waits for its rows. */
export const isWaiting = (batch: LiveBatch): boolean => batch.startsWithItsRows !== undefined;

/** Why a batch makes no progress, or when it ended. */
export function whyNot(batch: LiveBatch, now: number): string {
  const { running, pending } = batch.progress;
  if (batch.status === "paused") return batch.pauseReason?.message ?? "Paused";
  if (isWaiting(batch))
    return `Waiting for ${batch.inputBatch} to end${batch.startsWithItsRows ? ", then starts" : ""}`;
  if (batch.chainError) return batch.chainError;
  if (batch.status === "pending") {
    const tried = batch.progress.total - pending;
    return tried > 0
      ? `${plural(tried, "row was", "rows were")} tried; the others have not started`
      : `Created ${ago(batch.createdAt, now)}, not started`;
  }
  if (batch.completedAt && hasEnded(batch.status))
    return `${batch.isDryRun ? "Dry run. " : ""}Ended ${ago(batch.completedAt, now)}`;
  if (batch.status === "cancelled") return "Its remaining rows are being cancelled";
  if (batch.waiting?.reason === "rate_limit")
    return `Waiting for the provider's limit${batch.waiting.until && Date.parse(batch.waiting.until) > now ? `, next call ${ago(batch.waiting.until, now)}` : ""}`;
  if (batch.waiting?.reason === "provider_unavailable")
    return "Waiting for the provider to recover";
  if (pending > 0 && running === 0 && batch.perMinute === 0)
    return "Waiting for its turn, its provider's limit, or a retry";
  return batch.isDryRun ? "Dry run" : "";
}
