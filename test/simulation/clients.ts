import { LibsqlError } from "@libsql/client";

import type { AnswerFields } from "../../src/domain/output.ts";
import type { TaskInput } from "../../src/domain/task-input.ts";
import { AppError } from "../../src/errors.ts";
import { updateKey } from "../../src/services/api-keys.ts";
import {
  cancelBatch,
  updateBatch,
  deleteBatch,
  executeBatch,
  pauseBatch,
  resumeBatch,
  retryBatch,
} from "../../src/services/batch-moves.ts";
import { getBatch } from "../../src/services/batches.ts";
import type { Caller } from "../../src/services/caller.ts";
import { createBatch } from "../../src/services/create-batch.ts";
import { updateSchedule, createSchedule, runSchedule } from "../../src/services/schedules.ts";
import {
  cancelTask,
  createTask,
  deleteTask,
  executeTask,
  waitForTask,
} from "../../src/services/tasks.ts";
import { updateTask } from "../../src/services/update-task.ts";
import { createWebhook } from "../../src/services/webhooks.ts";
import {
  type Acting,
  anyBatch,
  anyTask,
  type Begun,
  type ClientWorld,
  newBatch,
  newTask,
  remember,
} from "./acting.ts";
import { addRowFields, chain, pilot } from "./chain-clients.ts";
import { callLive } from "./live-clients.ts";
import type { Action, ClientPlan } from "./plan.ts";
import { ANY_TASK, DECISIONS } from "./provider.ts";
import { createLuck } from "./random.ts";
import { repeat } from "./repeat-clients.ts";
import { sendWrong } from "./wrong-clients.ts";

export const KEYS = ["key-a", "key-b"] as const;
export const INPUT_FILE = "in.csv";
/** Lines for an endpoint that may not charge for tokens. */
export const LINES_FILE = "decisions.jsonl";
const LINES = 6;

export function linesForDecisions(): string {
  return Array.from({ length: LINES }, (_, i) => {
    const content = `${ANY_TASK} line ${i + 1}|${i % 3 === 0 ? "metered" : ""}`;
    const body = { model: "gpt-4", messages: [{ role: "user", content }] };
    return JSON.stringify({ custom_id: `l${i + 1}`, method: "POST", url: DECISIONS, body });
  }).join("\n");
}

/** Clients that wait do not disconnect. */
const NEVER = new AbortController().signal;
const PAUSED = { code: "requested", message: "a client asked for it" };

/** Starts random actions, some in turn and some at the same time, until faults stop. */
export function startClient(world: ClientWorld, client: ClientPlan): void {
  const { plan, timeline } = world;
  const luck = createLuck(client.seed);
  const caller: Caller = {
    key: client.key + 1,
    keyId: KEYS[client.key] ?? KEYS[0],
    scopes: ["admin"],
    rateLimitPerMinute: null,
    hasBudget: false,
    secretHash: "",
    validUntil: Infinity,
  };

  function next(): void {
    const at = timeline.now() + luck.about(client.thinkMs);
    if (at < plan.activeMs) timeline.at(at, act);
  }

  function act(): void {
    next();
    const node = world.nodeFor(luck);
    if (!node) return;
    const action = luck.weighted(plan.actions);
    const { what, done } = begin(action, { ...world, luck, caller, node });
    world.note(() => `client  ${client.seed.split(" ").at(-1)} at node ${node.index}: ${what}`);
    done
      .then(
        () => world.note(() => `client  ${what}: done`),
        (error: unknown) => {
          world.note(() => `client  ${what}: ${String(error)}`);
          if (!isExpected(error)) world.complain(`${what} failed with ${String(error)}`);
        },
      )
      .finally(() => world.answered());
  }

  next();
}

async function pauseAndAbort(acting: Acting, batch: string): Promise<void> {
  const excuseTheOthers = acting.excuseCallsOf(batch);
  try {
    await pauseBatch(acting.node.ctx, batch, PAUSED, { abort: true });
  } finally {
    excuseTheOthers();
  }
}

/** The codes of what the database of a world refuses, or does not answer. */
const TROUBLES: ReadonlySet<string> = new Set([
  "SQLITE_BUSY",
  "SQLITE_FULL",
  "SQLITE_IOERR",
  "SQLITE_TOOBIG",
  "RESPONSE_TOO_LARGE",
  "HRANA_CLOSED_ERROR",
]);

/** The errors that a client may get: what it did wrong, or that the database is in trouble. */
export function isExpected(error: unknown): boolean {
  if (error instanceof AppError) return true;
  // Drizzle wraps the error of its query.
  const trouble =
    error instanceof Error && error.cause instanceof LibsqlError ? error.cause : error;
  // A constraint that does not hold, or a statement that is wrong, is a fault of the program.
  return trouble instanceof LibsqlError && TROUBLES.has(trouble.code);
}

const NOTHING: Begun = { what: "nothing", done: Promise.resolve() };

function begin(action: Action, acting: Acting): Begun {
  const { luck, ledger, node, caller } = acting;
  const { ctx } = node;
  const inBatch = luck.chance(0.3);
  const batch = anyBatch(acting);
  const task = inBatch ? `${batch}-${luck.int(0, 5)}` : anyTask(acting);
  const of = (what: string, done: Promise<unknown>): Begun => ({ what, done });
  switch (action) {
    case "create":
      return create(acting);
    case "execute":
      ledger.mayStart(task);
      return of(
        `execute ${task}`,
        executeTask(ctx, task, {
          isDryRun: luck.chance(0.1),
          priority: undefined,
          payer: caller.key,
        }),
      );
    case "cancel":
      return of(`cancel ${task}`, cancelTask(ctx, task));
    case "cancel and execute":
      return of("cancel what runs and execute it", cancelThenExecute(acting));
    case "change":
      ledger.mayChange(task);
      return of(`change ${task}`, change(acting, task));
    case "delete":
      ledger.mayVanish(task.includes("-") ? task.split("-")[0] : undefined);
      return of(`delete ${task}`, deleteTask(ctx, task, luck.chance(0.5)));
    case "wait":
      return of(`wait for ${task}`, waitForTask(ctx, task, luck.int(100, 10_000), NEVER));
    case "create batch":
      return acting.plan.decides && luck.chance(0.5)
        ? lineBatch(acting, newBatch(luck))
        : fillBatch(acting, newBatch(luck));
    case "execute batch":
    case "dry run":
      ledger.mayStartBatch(batch);
      return of(
        `${action} ${batch}`,
        executeBatch(ctx, batch, { isDryRun: action === "dry run", payer: caller.key }),
      );
    case "rehearse":
      ledger.mayStartBatch(batch);
      ledger.mayStartBatch(batch);
      return of(`rehearse ${batch}, then execute it`, rehearse(acting, batch));
    case "pause":
      return inBatch
        ? of(`pause ${batch}, ending its calls`, pauseAndAbort(acting, batch))
        : of(`pause ${batch}`, pauseBatch(ctx, batch, PAUSED, { abort: false }));
    case "resume":
      return of(`resume ${batch}`, resumeBatch(ctx, batch));
    case "cancel batch":
      return of(`cancel batch ${batch}`, cancelBatch(ctx, batch));
    case "cancel batch and crash":
      acting.crash(node, luck.about(40));
      return of(`cancel batch ${batch}, then crash`, cancelBatch(ctx, batch));
    case "retry": {
      const statuses = luck.chance(0.5)
        ? (["failed"] as const)
        : (["failed", "cancelled"] as const);
      ledger.mayStartBatch(batch);
      return of(
        `retry ${batch}`,
        retryBatch(ctx, batch, { statuses: [...statuses], payer: caller.key }),
      );
    }
    case "delete batch":
      ledger.mayVanish(batch);
      return of(`delete batch ${batch}`, deleteBatch(ctx, batch, luck.chance(0.5)));
    case "change batch":
      return of(`change batch ${batch}`, changeLimits(acting, batch));
    case "set budget": {
      ledger.mayLimit();
      const monthlyBudgetUsd = luck.int(1, 12);
      return of(
        `budget of ${caller.keyId}: ${monthlyBudgetUsd}`,
        updateKey(ctx, caller.keyId, { monthlyBudgetUsd }),
      );
    }
    case "schedule":
      return acting.left.schedules-- > 0 ? schedule(acting) : NOTHING;
    case "run schedule":
      return of(
        "run a schedule",
        withSchedule(acting, (id) => runSchedule(ctx, id, { isDryRun: undefined })),
      );
    case "change schedule": {
      const isActive = luck.chance(0.6);
      return of(
        "change a schedule",
        withSchedule(acting, (id) => updateSchedule(ctx, id, { isActive })),
      );
    }
    case "webhook":
      return acting.left.webhooks-- > 0 ? webhook(acting) : NOTHING;
    case "repeat":
      return repeat(acting);
    case "send wrong":
      return acting.left.wrong-- > 0 ? sendWrong(acting) : NOTHING;
    case "live":
      return callLive(acting);
    case "chain":
      return chain(acting);
    case "pilot":
    case "pilot and execute":
      return pilot(acting, batch, action === "pilot and execute");
    case "watch":
      if (acting.left.readers-- > 0) acting.watch(node);
      return of("watch", Promise.resolve());
  }
}

/** A request. Its prompt contains the flags that control the provider. */
function requestFor({ plan, luck, timeline }: Acting, id: string): TaskInput {
  const flags = plan.flags.filter(() => luck.chance(0.15));
  const model = luck.chance(0.7) ? "gpt-4" : "gpt-4o-mini";
  const isCached = luck.chance(plan.isRepetitive ? 0.5 : 0.1);
  // Requests of the same half second are equal, so it is often decided anew which one is the first.
  const alike = `${ANY_TASK}${Math.floor(timeline.now() / 500)}`;
  return {
    prompt: `${isCached && plan.isRepetitive ? alike : id}|${flags.join(" ")}`,
    model,
    ...(isCached ? { cache: true } : {}),
    ...(luck.chance(0.15) ? { parameters: { stream: true } } : {}),
    ...(luck.chance(0.2) ? { maxRetries: luck.int(0, 2) } : {}),
    ...(luck.chance(0.2) ? { priority: luck.pick(["low", "high"]) } : {}),
  };
}

/** The settings of most requests in worlds where answers are checked. */
function answerFields({ plan: { answers }, luck }: Acting): AnswerFields {
  if (!answers || luck.chance(0.2)) return {};
  return { output: ["label"], maxRepairs: answers.maxRepairs, escalateTo: answers.escalateTo };
}

/** The settings of half of the requests in worlds with a flex tier. */
function flexFields({
  plan: { flex },
  luck,
}: Acting): Pick<TaskInput, "serviceTier" | "flexDeadlineMinutes" | "timeoutMs"> {
  if (!flex || luck.chance(0.5)) return {};
  // A hanging call would outlast the world, because a flex call may take a quarter of an hour.
  const flexDeadlineMinutes = flex.deadlineMs / 60_000;
  return { serviceTier: "flex", flexDeadlineMinutes, timeoutMs: 8000 };
}

function create(acting: Acting): Begun {
  const { luck, ledger, node, caller } = acting;
  const batch = luck.chance(0.2) ? newBatch(luck) : undefined;
  const id = batch === undefined ? newTask(luck) : `${batch}-${luck.int(0, 5)}`;
  if (batch !== undefined) remember(ledger.batches, batch);
  remember(ledger.tasks, id);
  const isExecuted = luck.chance(0.6);
  if (isExecuted) ledger.mayStart(id);
  const input = {
    ...requestFor(acting, id),
    ...answerFields(acting),
    ...flexFields(acting),
    id,
    batchId: batch,
  };
  const execute = isExecuted ? { isDryRun: luck.chance(0.1), priority: undefined } : null;
  return {
    what: `create ${id}${isExecuted ? " and execute it" : ""}`,
    done: createTask(node.ctx, caller, input, execute),
  };
}

/** A task whose call is in flight, according to the node. */
async function cancelThenExecute({ luck, ledger, caller, node: { ctx } }: Acting): Promise<void> {
  const { rows } = await ctx.client.execute(
    "SELECT t.id FROM queue q JOIN tasks t ON t.seq = q.task WHERE q.owner IS NOT NULL ORDER BY q.task LIMIT 20",
  );
  const row = rows[luck.int(0, rows.length - 1)];
  if (!row) return;
  const id = String(row["id"]);
  ledger.mayStart(id);
  await cancelTask(ctx, id);
  await executeTask(ctx, id, { isDryRun: false, priority: undefined, payer: caller.key });
}

const REHEARSAL_MS = 3000;

/** A dry run, and after its end the real run. */
async function rehearse({ timeline, caller, node: { ctx } }: Acting, id: string): Promise<void> {
  const payer = caller.key;
  await executeBatch(ctx, id, { isDryRun: true, payer });
  const end = timeline.now() + REHEARSAL_MS;
  while (timeline.now() < end) {
    await ctx.clock.sleep(50);
    const { status } = await getBatch(ctx, id);
    if (status === "running") continue;
    await executeBatch(ctx, id, { isDryRun: false, payer });
    return;
  }
}

function change(acting: Acting, id: string): Promise<unknown> {
  const { prompt } = requestFor(acting, id);
  return updateTask(
    acting.node.ctx,
    id,
    acting.luck.chance(0.5) ? { prompt } : { priority: "high" },
  );
}

function fillBatch(acting: Acting, id: string): Begun {
  const { luck, ledger, node, caller, plan } = acting;
  const size = luck.int(1, plan.batchSize);
  const isDear = luck.chance(0.3);
  const maxCostUsd = isDear ? luck.int(1, 6) : undefined;
  // Tasks that were created with this batch's id earlier may be replaced.
  if (ledger.batches.includes(id)) ledger.mayRefill(id);
  remember(ledger.batches, id);
  ledger.mayStartBatch(id);
  if (isDear) ledger.mayLimit();
  const tasks = Array.from({ length: size }, (_, i) => {
    const request = requestFor(acting, `${id}-${i}`);
    // Under a cap every answer costs the same, so that the number of answers that fit is known.
    const asked = isDear
      ? { prompt: `${id}-${i}|dear${luck.chance(0.1) ? " bad" : ""}`, model: "gpt-4" }
      : {};
    return { ...request, ...asked, cache: isDear ? undefined : request.cache, id: `${id}-${i}` };
  });
  const maxConcurrency = luck.chance(0.3) ? luck.int(1, 8) : undefined;
  // The cost of a batch under a cap is known only at the standard tier.
  const tier = isDear ? {} : flexFields(acting);
  const config = { maxConcurrency, maxCostUsd, ...answerFields(acting), ...tier };
  const outputFile = luck.chance(0.2) ? `${id}.csv` : undefined;
  const draft = addRowFields(acting, { id, tasks, config, outputFile }, isDear);
  return {
    what: `create batch ${id} of ${size}${maxCostUsd === undefined ? "" : ` for ${maxCostUsd} USD`}`,
    done: createBatch(node.ctx, caller, draft),
  };
}

/** A batch of lines for `DECISIONS`. Its tasks are often executed one by one. */
function lineBatch({ luck, ledger, node, caller }: Acting, id: string): Begun {
  if (ledger.batches.includes(id)) ledger.mayRefill(id);
  remember(ledger.batches, id);
  const maxCostUsd = luck.chance(0.3) ? luck.int(1, 6) : undefined;
  if (maxCostUsd !== undefined) ledger.mayLimit();
  const executed = Array.from({ length: LINES }, (_, i) => `${id}-${i + 1}`).filter(() =>
    luck.chance(0.5),
  );
  for (const task of executed) ledger.mayStart(task);
  async function done(): Promise<void> {
    await createBatch(node.ctx, caller, { id, inputFile: LINES_FILE, config: { maxCostUsd } });
    const ask = { isDryRun: false, priority: undefined, payer: caller.key };
    await Promise.all(executed.map((task) => executeTask(node.ctx, task, ask)));
  }
  return { what: `create batch ${id} of lines, execute ${executed.length} of them`, done: done() };
}

function changeLimits({ luck, ledger, node: { ctx } }: Acting, id: string): Promise<unknown> {
  if (luck.chance(0.5)) return updateBatch(ctx, id, { maxConcurrency: luck.int(1, 10) });
  ledger.mayLimit();
  return updateBatch(ctx, id, { maxCostUsd: luck.int(1, 9) });
}

function schedule({ luck, node: { ctx }, caller }: Acting): Begun {
  const overlapPolicy = luck.pick(["skip", "queue", "allow", "cancel_previous"] as const);
  const expression = luck.pick(["* * * * * *", "*/3 * * * * *", "*/7 * * * * *"]);
  const draft = {
    name: `schedule ${luck.int(0, 9)}`,
    schedule: expression,
    timezone: "UTC",
    inputFile: INPUT_FILE,
    outputFile: luck.chance(0.3) ? "out-{{runId}}.csv" : undefined,
    isDryRun: luck.chance(0.2),
    isActive: true,
    config: {},
    overlapPolicy,
    catchUpWindowSeconds: 3600,
    pauseAfterFailures: luck.chance(0.3) ? 2 : undefined,
  };
  return {
    what: `schedule ${expression} ${overlapPolicy}`,
    done: createSchedule(ctx, caller, draft),
  };
}

async function withSchedule(
  { luck, node: { ctx } }: Acting,
  work: (id: string) => Promise<unknown>,
): Promise<void> {
  const { rows } = await ctx.client.execute("SELECT id FROM schedules ORDER BY seq");
  const row = rows[luck.int(0, Math.max(0, rows.length - 1))];
  if (row) await work(String(row["id"]));
}

function webhook({ luck, node: { ctx }, caller }: Acting): Begun {
  const events = luck.pick([["*"], ["task.completed", "task.failed"], ["batch.*"]]);
  const url = `http://receiver-${luck.int(0, 1)}.invalid/`;
  return { what: `webhook ${events.join()}`, done: createWebhook(ctx, caller, { url, events }) };
}
