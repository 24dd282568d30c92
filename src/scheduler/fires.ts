import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { nextFire } from "../domain/cron.ts";
import { type FirePlan, planFires } from "../domain/schedule.ts";
import { nextRound } from "../lib/clock.ts";
import { newId } from "../lib/ids.ts";
import { label } from "../lib/meters.ts";
import { whyKeyIsInvalid } from "../services/key-validity.ts";
import { deleteAlert, insertAlert } from "../store/alerts.ts";
import { addRuns, type NewRun, supersede } from "../store/schedule-runs.ts";
import {
  isActiveAsRead,
  isStillDue,
  listActive,
  listDue,
  moveNextRun,
  pauseSchedule,
  type Schedule,
  type Timing,
} from "../store/schedules.ts";
import { hasRow } from "../store/which.ts";

const log = getLogger(["gptrunner", "scheduler"]);

/** Schedules that are read at a time. */
const PAGE = 1000;
/** How many of these are handled before yielding to the event loop: some milliseconds. */
const IN_ONE_GO = 100;
/** If this many are due at once, fewer missed fires of each are recorded one by one. */
const MANY = 100;
const MOST_MISSED = { few: 100, many: 5 };

/**
 * Fires every schedule that is due. The change of `next_run` and the rows of the runs are one unit, and the change is
 * guarded, so only one of several processes fires. A run row is unique in its fire time, so no time fires twice even
 * if the clock is put back. Returns how many fired.
 */
export async function fireDue(ctx: Context, now: number): Promise<number> {
  for (let fired = 0; ;) {
    const due = await listDue(ctx.db, now, PAGE);
    if (due.length === 0) return fired;
    const most = due.length > MANY ? MOST_MISSED.many : MOST_MISSED.few;
    const moved = await forEach(ctx, due, (schedule) => fire(ctx, schedule, now, most));
    fired += moved.filter(Boolean).length;
  }
}

async function fire(ctx: Context, schedule: Schedule, now: number, most: number): Promise<boolean> {
  const { seq, id, nextRun } = schedule;
  if (nextRun === null) return false;
  const refusal = await whyKeyIsInvalid(ctx, schedule.apiKey, "created with", now);
  if (refusal !== undefined) {
    await stop(ctx, schedule, refusal);
    return false;
  }
  const plan = await planned<FirePlan>(ctx, schedule, () =>
    planFires({ ...schedule, nextRun }, now, most),
  );
  if (!plan) return false;
  const runs = plan.fires.map((fire): NewRun => ({
    ...fire,
    id: newId(ctx, "run"),
    isDryRun: null,
  }));
  const newest = runs.findLast(({ missed }) => missed === null);
  const { moved, added } = await ctx.writer.write({
    added: addRuns(isStillDue(schedule), runs, now),
    moved: moveNextRun(schedule, plan.next),
    superseded:
      newest && schedule.overlapPolicy === "cancel_previous"
        ? supersede(seq, newest.id)
        : undefined,
  });
  const statuses = added.rows.map(({ status }) => status);
  // Runs that begin are counted when they end.
  for (const status of statuses)
    if (status === "skipped" || status === "missed")
      ctx.meters.add("schedule_fires_total", label("outcome", status));
  const missed = statuses.filter((status) => status === "missed").length;
  if (missed > 0) log.warning("Scheduled task {id} missed {missed} fires", { id, missed });
  return moved.changed > 0;
}

/**
 * Computes the next fire of every active schedule again, when the program starts or the clock was put back. Otherwise
 * a next fire that was computed while the clock was ahead would come too late.
 */
export async function realign(ctx: Context, now: number): Promise<void> {
  for (let after = 0; ;) {
    const page = await listActive(ctx.db, after, PAGE);
    await forEach(ctx, page, async (schedule) => {
      if (schedule.nextRun !== null && schedule.nextRun <= now) return;
      const next = await planned(ctx, schedule, () => ({ at: nextFire(schedule, now) }));
      if (!next || next.at === schedule.nextRun) return;
      await ctx.writer.write({ moved: moveNextRun(schedule, next.at) });
    });
    const last = page.at(-1);
    if (!last || page.length < PAGE) return;
    after = last.seq;
  }
}

/** Does the work for all items, so that the writes share commits, but yields to the event loop. */
async function forEach<Item, Result>(
  { clock }: Pick<Context, "clock">,
  items: Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Promise<Result>[] = [];
  for (const [i, item] of items.entries()) {
    const result = work(item);
    // `Promise.all` below reports the failure later.
    result.catch(() => {});
    results.push(result);
    if (i % IN_ONE_GO === IN_ONE_GO - 1) await nextRound(clock);
  }
  return Promise.all(results);
}

/**
 * The result of `plan`. If it throws, for example because the time zone is gone from the system, the schedule is
 * paused with an alert, so that it does not hold up the others.
 */
async function planned<Plan>(
  ctx: Context,
  schedule: Timing,
  plan: () => Plan,
): Promise<Plan | undefined> {
  try {
    return plan();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    await stop(ctx, schedule, `Its next time cannot be computed: ${why}`);
    return undefined;
  }
}

/** Pauses a schedule with an alert. */
async function stop(ctx: Context, schedule: Timing, reason: string): Promise<void> {
  const message = `Scheduled task ${schedule.id} (${schedule.name}) was stopped. ${reason}`;
  const now = ctx.clock.now();
  const which = isActiveAsRead(schedule);
  const can = hasRow("schedules", which);
  const alert = { code: "schedule.paused" as const, subject: schedule.id, message, raisedAt: now };
  await ctx.writer.write({
    // There may be one of a run that is paused.
    replaced: deleteAlert(alert.code, alert.subject, now, can),
    alert: insertAlert(alert, can),
    paused: pauseSchedule(which, reason, now),
  });
  log.error(message);
}
