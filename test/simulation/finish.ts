import { rowsOf } from "../../src/db/unit.ts";
import { updateKey } from "../../src/services/api-keys.ts";
import { updateBatch, resumeBatch } from "../../src/services/batch-moves.ts";
import { updateSchedule } from "../../src/services/schedules.ts";
import { checkDeliveries } from "./delivery-checks.ts";
import type { LogRow } from "./history.ts";
import { checkLive, isLive, openLive } from "./live-clients.ts";
import {
  checkCharges,
  checkExecutions,
  DEAREST,
  FLOAT_ERROR,
  readCharges,
} from "./money-checks.ts";
import { firstMissed } from "./readers.ts";
import { checkRepeats } from "./repeat-clients.ts";
import { IS_END } from "./run-checks.ts";
import { checkSchedules } from "./schedule-checks.ts";
import { checkAnswers, checkReused } from "./schema-checks.ts";
import { createStateChecks } from "./state-checks.ts";
import { checkUnknownCosts } from "./unpriced-checks.ts";
import type { World } from "./world.ts";
import { checkWrong } from "./wrong-clients.ts";

/** Longer than any wait except a webhook's: leases, backoff, `Retry-After` of a provider, timeouts. */
const FINISH_MS = 60_000;
/**
 * After that, a world with much work, few slots or slow commits may continue as long as one run ends, or one client's
 * request is answered, per period of this length.
 */
const STALLED_MS = 20_000;
/** A webhook's second retry follows after five minutes. */
const DELIVERY_MS = 420_000;
const LOOK_EVERY_MS = 500;
/** Clients wait no longer for an answer. */
const LONGEST_REQUEST_MS = 15_000;

/**
 * Without further faults, all work must end: dead nodes start again (or stay dead, if another one lives), paused batches
 * resume, and after a while nothing is open. Then come the checks that need the whole history.
 */
export function letFinish(world: World): void {
  const { timeline, complain } = world;
  revive(world);
  let open: string[] = ["not looked yet"];
  let isLooking = false;
  const look = () => {
    timeline.at(timeline.now() + LOOK_EVERY_MS, look);
    if (isLooking) return;
    isLooking = true;
    const looking = carryOn(world)
      .then(() => findOpen(world))
      .then((found) => (open = found))
      .finally(() => (isLooking = false));
    world.attend(looking);
  };
  look();
  const isQuiet = () => open.length === 0;
  const isQuietButForWebhooks = () => open.every((what) => what.startsWith("delivery"));
  const start = timeline.now();
  if (!runUntilStalled(world, isQuietButForWebhooks))
    for (const what of open) complain(`never ended: ${what}`);
  else if (!timeline.run(isQuiet, Math.max(start + DELIVERY_MS, timeline.now() + FINISH_MS)))
    for (const what of open) complain(`never delivered: ${what}`);
  // Loops of nodes may still log events. Readers cannot have received the very last ones.
  let log = [...world.history.rows];
  timeline.run(() => false, timeline.now() + 1000);
  // A request from the time of the faults may have been committed only now.
  while (!isQuiet() && timeline.run(isQuiet, timeline.now() + FINISH_MS)) {
    log = [...world.history.rows];
    timeline.run(() => false, timeline.now() + 1000);
  }
  if (!isQuiet()) for (const what of open) complain(`never ended: ${what}`);
  world.attend(checkEnd(world, log));
  timeline.run(() => false, timeline.now() + 1);
  const isForgotten = () => remembered(world).length === 0;
  if (!isForgotten()) timeline.run(isForgotten, timeline.now() + LONGEST_REQUEST_MS);
  for (const what of remembered(world)) complain(`nothing runs, and ${what}`);
}

/** What nodes remember of requests. They remember nothing when no request is open. */
function remembered(world: World): string[] {
  return world.nodesAlive().flatMap(({ index, ctx }) =>
    Object.entries({
      waits: ctx.waits.size(),
      drafts: ctx.drafts.size,
      creations: ctx.creating.size,
      uploads: ctx.uploads.size,
      "unfinished files": ctx.unfinished.size,
    }).flatMap(([name, count]) => (count > 0 ? [`node ${index} remembers ${count} ${name}`] : [])),
  );
}

/**
 * Runs the world until `isOver()`, or until nothing ends any more. Returns the last result of `isOver()`. It terminates,
 * because clients send no further requests, and each run and each request ends once.
 */
function runUntilStalled({ timeline, history, counts }: World, isOver: () => boolean): boolean {
  const countEnded = () =>
    counts.answers + history.rows.filter(({ type }) => IS_END.test(type)).length;
  let isOverNow = timeline.run(isOver, timeline.now() + FINISH_MS - STALLED_MS);
  for (let ended = -1; !isOverNow && countEnded() > ended;) {
    ended = countEnded();
    isOverNow = timeline.run(isOver, timeline.now() + STALLED_MS);
  }
  return isOverNow;
}

function revive(world: World): void {
  for (const [index] of world.plan.nodes.entries()) if (!world.staysDead()) world.start(index);
}

/** Acts as an operator who wants all work done: removes caps and budgets, resumes batches, stops schedules. */
async function carryOn(world: World): Promise<void> {
  const [node] = world.nodesAlive();
  if (!node || node.clock.isPaused() || node.isStopping) return;
  const { read } = world.database;
  const [paused, schedules, keys, capped] = await Promise.all([
    read("SELECT id FROM batches WHERE status = 'paused'"),
    read("SELECT id FROM schedules WHERE is_active = 1"),
    read("SELECT id FROM api_keys WHERE monthly_budget_usd IS NOT NULL"),
    read(
      "SELECT id FROM batches WHERE max_cost_usd IS NOT NULL AND status NOT IN ('ingesting', 'paused')",
    ),
  ]);
  const attempts = [
    ...rowsOf<{ id: string }>(keys).map(({ id }) =>
      updateKey(node.ctx, id, { monthlyBudgetUsd: null }),
    ),
    ...rowsOf<{ id: string }>(schedules).map(({ id }) =>
      updateSchedule(node.ctx, id, { isActive: false }),
    ),
    ...rowsOf<{ id: string }>(capped).map(({ id }) =>
      updateBatch(node.ctx, id, { maxCostUsd: null }),
    ),
    ...rowsOf<{ id: string }>(paused).map(async ({ id }) => {
      await updateBatch(node.ctx, id, { maxCostUsd: null });
      await resumeBatch(node.ctx, id);
    }),
  ];
  // A failed attempt is repeated at the next look.
  await Promise.race([
    Promise.allSettled(attempts),
    new Promise<void>((resolve) => world.timeline.at(world.timeline.now() + 2000, resolve)),
  ]);
}

const OPEN = `
  SELECT 'run ' || q.run || ' of task ' || t.id || iif(q.owner IS NULL, ' waits', ' is held by node ' || q.owner)
    FROM queue q JOIN tasks t ON t.seq = q.task
  UNION ALL SELECT 'batch ' || id || ' is ' || status || ' ' || coalesce(revive, '') FROM batches
    WHERE seq > 0 AND (status IN ('running', 'paused', 'ingesting')
       OR (status = 'cancelled' AND completed_at IS NULL) OR revive IS NOT NULL)
  UNION ALL SELECT 'batch ' || w.id || ' waits for ' || w.input_batch || ', which has ended or is gone' FROM batches w
    WHERE w.chain_status = 'waiting' AND w.status = 'pending' AND NOT EXISTS (
      SELECT 1 FROM batches f WHERE f.id = w.input_batch AND (f.completed_at IS NULL OR f.is_dry_run))
  UNION ALL SELECT 'batch ' || id || ' was made, and was to start with that' FROM batches
    WHERE chain_status = 'made' AND status = 'pending' AND payer IS NOT NULL
  UNION ALL SELECT 'output of batch ' || id FROM batches WHERE output_status IN ('pending', 'writing')
  UNION ALL SELECT 'run ' || id || ' of a schedule is ' || status FROM schedule_runs
    WHERE status IN ('pending', 'queued', 'running')
  UNION ALL SELECT 'money is reserved for live calls of node ' || node FROM live_calls
  UNION ALL SELECT 'schedule ' || id FROM schedules WHERE is_active = 1
  UNION ALL SELECT 'delivery ' || d.seq || ' of event ' || d.event FROM webhook_deliveries d
    JOIN webhooks w ON w.seq = d.webhook AND w.is_active = 1 WHERE d.status = 'pending'
  UNION ALL SELECT 'delivery of ' || ((SELECT max(id) FROM events) - w.cursor) || ' events at webhook ' || w.id
    FROM webhooks w WHERE w.is_active = 1 AND w.cursor < (SELECT max(id) FROM events WHERE type <> 'batch.progress')
  LIMIT 10`;

async function findOpen(world: World): Promise<string[]> {
  const { rows } = await world.database.read(OPEN);
  const open = rows.map((row) => String(row[0]));
  for (const node of world.nodesAlive()) {
    const state = node.parts.engineState();
    const held = Math.max(state?.inFlight ?? 0, state?.remembered ?? 0);
    if (held > 0) open.push(`node ${node.index} holds ${held} calls`);
    if (!node.hasStarted) open.push(`node ${node.index} starts`);
    if (node.clock.isPaused() || node.isStopping) open.push(`node ${node.index} sleeps, or stops`);
  }
  open.push(...openLive(world.ledger.live));
  // A node that was cut off stores them at its next attempt.
  const { cost, charged } = await readCharges(world.database.truth);
  if (!isDeleting(world) && charged < cost + liveCosts(world).least - FLOAT_ERROR)
    open.push("live calls are not charged");
  const isDown = (index: number) => world.nodes[index] === undefined && !world.staysDead();
  for (const index of world.plan.nodes.keys())
    if (isDown(index)) open.push(`node ${index} is down`);
  // A node that was cut off or paused when faults stopped may still be so, and its readers too.
  const last = world.history.last();
  for (const reader of world.readers)
    if ((reader.ids.at(-1) ?? reader.start) < last)
      open.push(`a reader that began after ${reader.start} has not got event ${last}`);
  return open;
}

/** The cost of a call that is not dear, rounded up. */
const CHEAP = 0.001;

/** What live calls have cost: those whose cost a living node knows, and all that were answered, or were left. */
function liveCosts({ ledger, provider }: World): { least: number; most: number } {
  const known = ledger.live.filter(({ node }) => !node.clock.isDead() && !node.isStopping);
  return {
    least: known.reduce((sum, { costUsd }) => sum + costUsd, 0),
    most: provider.calls
      .filter(isLive)
      .reduce((sum, { flags }) => sum + (flags.has("dear") ? DEAREST : CHEAP), 0),
  };
}

/** The sums of what was deleted are gone. */
function isDeleting({ plan }: World): boolean {
  return "delete" in plan.actions || "delete batch" in plan.actions;
}

async function checkEnd(world: World, log: readonly LogRow[]): Promise<void> {
  const { complain, database, readers } = world;
  await createStateChecks(database, complain)();
  for (const reader of readers) {
    const missed = firstMissed(reader, log);
    if (missed !== undefined)
      complain(`a reader that began after ${reader.start} never got event ${missed}`);
  }
  if (!isDeleting(world)) await checkCharges(database.truth, liveCosts(world), complain);
  await checkUnknownCosts(database.truth, complain);
  checkLive(world.provider.calls, complain);
  await checkWrong(database.truth, complain);
  await checkRepeats(database.truth, complain);
  await checkAnswers(database.truth, complain);
  await checkReused(database.truth, complain);
  // Attempts without a usable answer are charged, but are not in an execution.
  const isExact = !world.plan.flags.includes("empty") && !isDeleting(world);
  if (isExact) await checkExecutions(database.truth, complain);
  await checkDeliveries(world, log);
  const isSteady =
    !world.plan.faults.some(({ kind }) => kind === "jump") &&
    !("change schedule" in world.plan.actions);
  await checkSchedules(database.truth, { isSteady, complain });
  const mostRetries = Math.max(...world.plan.nodes.map(({ config }) => config.maxRetries));
  const tasks = await database.truth.execute({
    sql: `SELECT id, max(run) AS runs, 1 + max(coalesce(max_retries, ?)) AS attempts
          FROM tasks GROUP BY id`,
    args: [mostRetries],
  });
  type Known = { id: string; runs: number; attempts: number };
  const runs = new Map(rowsOf<Known>(tasks).map((row) => [row.id, row]));
  const isSure = (task: string) =>
    !world.ledger.hasVanishing("") && !world.ledger.hasVanishing(task.split("-")[0] ?? "");
  const runsOf = (task: string) => (isSure(task) ? runs.get(task) : undefined);
  world.calls.check(runsOf, world.ledger.changesOf, complain);
  for (const node of world.nodesAlive())
    for (const provider of node.ctx.live.providers()) {
      const paced = provider.models.reduce((sum, { pacer }) => sum + pacer.inFlight, 0);
      if (provider.inFlight + paced > 0)
        complain(
          `node ${node.index} is idle and counts ${provider.inFlight} and ${paced} calls in flight`,
        );
    }
}
