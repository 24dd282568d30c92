import { hostname } from "node:os";

import type { Context } from "../context.ts";
import { checkSomeCounters, type Difference } from "../store/counters.ts";
import { giveUpLease, LEASES, takeLease } from "../store/leases.ts";
import { STUCK_QUEUE } from "../store/queue-age.ts";
import { readRows } from "../store/rows.ts";
import { clearAlert, listOpenAlerts, raiseAlert } from "./alerts.ts";

const STUCK_MS = 5 * 60_000;
const MB = 1024 * 1024;
const GB = 1024 * MB;

/** Raises an alert if tasks have been ready for five minutes, nothing runs, and nothing was started in that time. */
export async function watchQueue(ctx: Context, stuckMs = STUCK_MS): Promise<void> {
  const [found] = await readRows(ctx.longReads.client, STUCK_QUEUE);
  const now = ctx.clock.now();
  const isOld = (at: number | null | undefined) =>
    at !== null && at !== undefined && at < now - stuckMs;
  const isStuck =
    found !== undefined &&
    found.running === 0 &&
    isOld(found.oldestAt) &&
    (found.startedAt === null || isOld(found.startedAt));
  if (!isStuck) {
    await clearAlert(ctx, "queue.stuck");
    return;
  }
  const minutes = Math.round((now - (found.oldestAt ?? now)) / 60_000);
  await raiseAlert(ctx, {
    code: "queue.stuck",
    message: `Tasks have been ready for ${minutes} min and none was started; see /status/services/workers`,
  });
}

/** A disk with fewer bytes free than this is nearly full: a twentieth of it or 5 GB, and 200 MB at least. */
export function leastFree(total: number): number {
  return Math.max(200 * MB, Math.min(total / 20, 5 * GB));
}

/**
 * Raises an alert if the disk is nearly full; it is cleared at a fifth more free space. On a shared database each
 * machine has its own disk, and confirms its alert by a lease. Others clear that of a machine which is gone.
 */
export async function watchDisk(ctx: Context): Promise<void> {
  const { free, total } = await ctx.files.space(ctx.config.dataDir);
  const least = leastFree(total);
  const subject = ctx.isExclusive ? "" : hostname();
  if (free > least * 1.2) await clearDisk(ctx, subject);
  else if (!ctx.isExclusive)
    await ctx.writer.write({ lease: takeLease(leaseOf(subject), subject, CONFIRMED_MS) });
  if (!ctx.isExclusive) await clearUnconfirmed(ctx);
  if (free >= least) return;
  const left = `${Math.round(free / MB)} MB (${Math.round((free / total) * 100)} %)`;
  const message = `The disk of the data folder has ${left} left; make room, or lower RETENTION_DAYS`;
  await raiseAlert(ctx, { code: "disk.nearly_full", subject, message });
}

/** The name of a machine may be that of a container, which a new one does not get again. */
const CONFIRMED_MS = 10 * 60_000;

function leaseOf(machine: string): string {
  return `disk ${machine}`;
}

async function clearUnconfirmed(ctx: Context): Promise<void> {
  const open = (await listOpenAlerts(ctx)).filter(({ code }) => code === "disk.nearly_full");
  if (open.length === 0) return;
  const leases = await readRows(ctx.client, LEASES);
  const confirmed = new Set(leases.filter(({ leftMs }) => leftMs > 0).map(({ name }) => name));
  for (const { subject } of open)
    if (!confirmed.has(leaseOf(subject))) await clearDisk(ctx, subject);
}

async function clearDisk(ctx: Context, subject: string): Promise<void> {
  if (await clearAlert(ctx, "disk.nearly_full", subject))
    await ctx.writer.write({ given: giveUpLease(leaseOf(subject), subject) });
}

/** Batches checked at a time, and how large each may be: a few milliseconds. */
const CHECKED_AT_ONCE = 5;
const LARGEST_CHECKED = 5000;

/**
 * Recounts the tasks of some of the batches that changed since `since`, and of those that were wrong, and raises an
 * alert if their counters differ. `/readyz?deep=1` recounts everything.
 */
export async function watchBooks(ctx: Context, since: number): Promise<void> {
  const open = (await listOpenAlerts(ctx))
    .filter(({ code }) => code === "invariant.violated")
    .map(({ subject }) => subject);
  const check = checkSomeCounters(since, open, CHECKED_AT_ONCE, LARGEST_CHECKED);
  const wrong = new Map<string, Difference>();
  for (const difference of await readRows(ctx.longReads.client, check))
    wrong.set(difference.batchId, difference);
  for (const [batchId, { counter, stored, counted }] of wrong) {
    const message = `Batch ${batchId} counts ${stored} tasks as ${counter}, and there are ${counted}; this is a bug`;
    const isNew = await raiseAlert(ctx, { code: "invariant.violated", subject: batchId, message });
    if (isNew) ctx.meters.add("invariant_violations_total", "");
  }
  for (const batchId of open)
    if (!wrong.has(batchId)) await clearAlert(ctx, "invariant.violated", batchId);
}
