import type { Context, ProviderLive } from "../context.ts";
import { isWaitingBatch } from "../domain/chain.ts";
import type { Health } from "../domain/health.ts";
import { estimateCompletion } from "../domain/outlook.ts";
import type { LiveBatch, LiveModel, LiveRead } from "../store/live.ts";

/** The parts of the state that are not in the database. */
export type LiveBesides = {
  /** Tasks that end per minute at the current pace: of a batch, by its row number, or of all. */
  paceOf: (batch?: number) => number;
  connections: number;
  health: LiveHealth;
  /** How many changes of keys this process has heard of. */
  keyChanges: number;
};

export type LiveHealth = { status: Health; reasons: { service: string; reason: string }[] };

/** The state of a live view. It has no null values: members without a value are absent. */
export type LiveState = ReturnType<typeof toLiveState>;

export function toLiveState(
  ctx: Pick<Context, "clock" | "config" | "live" | "load">,
  read: LiveRead,
  { paceOf, connections, health, keyChanges }: LiveBesides,
) {
  const { clock, load } = ctx;
  const now = clock.now();
  const { total, completed, failed, cancelled, running } = read.stock;
  const pending = total - completed - failed - cancelled - running;
  const { promptTokens, completionTokens, costUsd } = read.stock;
  return {
    at: iso(now),
    tasks: { total, completed, failed, cancelled, pending, running },
    usage: { promptTokens, completionTokens, costUsd: round(costUsd, 8) },
    rates: {
      endedPerMinute: Math.round(paceOf()),
      completedPerMinute: round(perMinute(read.minutes, now), 2),
    },
    queue: { depth: read.waiting.depth, ...ifThere("oldestAt", isoOf(read.waiting.oldestAt)) },
    system: {
      cpuUsage: round(load.cpu(), 2),
      memoryUsage: round(load.memory(), 2),
      activeConnections: connections,
      eventLoopLag: round(load.lagMs() / 1000, 2),
    },
    batches: byName(read.batches, ({ id }) => id, toBatch(ctx, now, paceOf)),
    calls: byName(
      read.calls,
      ({ task }) => task,
      ({ model, batch, attempt, startedAt }) => ({
        model,
        attempt,
        ...ifThere("batch", batch),
        ...ifThere("startedAt", isoOf(startedAt)),
      }),
    ),
    models: sumModels(read.models),
    providers: toProviders(ctx),
    nodes: byName(
      read.nodes,
      ({ seq }) => String(seq),
      ({ startedAt, isRunner, silentMs, running }) => ({
        runsTasks: isRunner === 1,
        running,
        startedAt: iso(startedAt),
        // Rounded to the second, because the two clocks are read at different moments.
        heartbeatAt: iso(Math.round((now - silentMs) / 1000) * 1000),
      }),
    ),
    schedules: {
      total: read.scheduling.total,
      active: read.scheduling.active,
      revision: read.scheduling.revision,
      due: byName(
        read.schedules,
        ({ id }) => id,
        ({ name, nextRun, lastRunStatus }) => ({
          name,
          nextRun: iso(nextRun),
          ...ifThere("lastRunStatus", lastRunStatus),
        }),
      ),
    },
    webhooks: read.webhooks,
    keys: { revision: `${read.revisions.keys}.${keyChanges}` },
    files: { revision: read.revisions.files },
    audit: { revision: String(read.revisions.audit) },
    alerts: byName(
      read.alerts,
      ({ code, subject }) => (subject === "" ? code : `${code} ${subject}`),
      ({ code, subject, message, raisedAt }) => ({
        code,
        ...(subject === "" ? {} : { subject }),
        message,
        raisedAt: iso(raisedAt),
      }),
    ),
    health,
  };
}

function toBatch(
  ctx: Pick<Context, "live">,
  now: number,
  paceOf: LiveBesides["paceOf"],
): (batch: LiveBatch) => ReturnType<typeof describeBatch> {
  return (batch) => {
    const live = batch.status === "running" ? ctx.live.waitingOf(batch.seq) : null;
    const counters = { ...batch, truncated: 0, cached: 0, repaired: 0 };
    const estimate = estimateCompletion(counters, live?.until ?? null, now);
    return {
      ...describeBatch(batch),
      perMinute: batch.status === "running" ? Math.round(paceOf(batch.seq)) : 0,
      ...ifThere("estimatedCompletionAt", isoOf(estimate && Math.round(estimate / 1000) * 1000)),
      ...(live && {
        waiting: { reason: live.reason, ...ifThere("until", isoOf(live.until)) },
      }),
    };
  };
}

function describeBatch(batch: LiveBatch) {
  const { total, completed, failed, cancelled, running } = batch;
  const pending = total - completed - failed - cancelled - running;
  const ended = completed + failed;
  const isUnpriced = batch.unpriced > 0 && batch.unpriced >= ended;
  const isWaiting = isWaitingBatch(batch);
  return {
    name: batch.name,
    status: batch.status,
    progress: { total, completed, failed, cancelled, pending, running },
    isDryRun: batch.isDryRun === 1,
    createdAt: iso(batch.createdAt),
    ...(isUnpriced ? {} : { costUsd: round(batch.costUsd, 9) }),
    ...ifThere("maxCostUsd", batch.maxCostUsd),
    ...ifThere("startedAt", isoOf(batch.startedAt)),
    ...ifThere("completedAt", isoOf(batch.completedAt)),
    ...ifThere("inputBatch", batch.inputBatch),
    ...ifThere("pauseReason", batch.pauseReason),
    ...(batch.chainError ? { chainError: batch.chainError.message } : {}),
    ...(isWaiting ? { startsWithItsRows: batch.isToStart === 1 } : {}),
  };
}

function sumModels(rows: LiveModel[]) {
  const groups = [...Map.groupBy(rows, ({ model }) => model)];
  return byName(
    groups,
    ([model]) => model,
    ([, group]) => {
      const tasks = (status: string) =>
        group.reduce((sum, row) => sum + (row.status === status ? row.tasks : 0), 0);
      return {
        completed: tasks("completed"),
        failed: tasks("failed"),
        tokens: group.reduce((sum, row) => sum + row.tokens, 0),
        costUsd: round(
          group.reduce((sum, row) => sum + row.costUsd, 0),
          8,
        ),
      };
    },
  );
}

function toProviders({ config, live }: Pick<Context, "config" | "live">) {
  const states = live.providers();
  return byName(
    config.providers.map((provider, i) => ({ provider, state: states[i] })),
    ({ provider }) => provider.name,
    ({ provider, state }) => ({
      isSimulator: provider.kind === "simulator",
      models: provider.models ?? ["*"],
      ...(state && toProviderState(state)),
    }),
  );
}

function toProviderState(state: ProviderLive) {
  return {
    inFlight: state.inFlight,
    ...ifThere("maxConcurrency", state.maxConcurrency),
    breaker: state.breaker,
    ...ifThere("openUntil", isoOf(state.openUntil)),
    keysOut: state.keysOut,
    pacers: state.models.map(({ model, isFlex, key, waitMs, pacer }) => ({
      model,
      key,
      isFlex,
      wait: round(waitMs / 1000, 1),
      inFlight: pacer.inFlight,
      requests: toBucket(pacer.requests),
      tokens: toBucket(pacer.tokens),
      ...ifThere("blockedUntil", isoOf(pacer.blockedUntil)),
    })),
  };
}

function toBucket({ source, perMinute, remaining }: ProviderLive["models"][0]["pacer"]["tokens"]) {
  return { source, ...ifThere("perMinute", perMinute), ...ifThere("remaining", remaining) };
}

const MINUTES = 5;

/** Completed tasks per minute over the last five minutes; the first minute counts in proportion. */
function perMinute(minutes: LiveRead["minutes"], now: number): number {
  const from = now - MINUTES * 60_000;
  const sum = minutes.reduce((sum, { at, completed }) => {
    const share = at >= from ? 1 : Math.max(0, 1 - (from - at) / 60_000);
    return sum + completed * share;
  }, 0);
  return sum / MINUTES;
}

function byName<T, V>(items: T[], name: (item: T) => string, value: (item: T) => V) {
  return Object.fromEntries(items.map((item) => [name(item), value(item)])) as Record<string, V>;
}

function ifThere<K extends string, V>(name: K, value: V): { [name in K]?: NonNullable<V> } {
  return (value === null || value === undefined ? {} : { [name]: value }) as {
    [name in K]?: NonNullable<V>;
  };
}

const iso = (ms: number) => new Date(ms).toISOString();
const isoOf = (ms: number | null) => (ms === null ? null : iso(ms));
const round = (value: number, digits: number) => Number(value.toFixed(digits));
