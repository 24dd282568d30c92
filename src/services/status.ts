import type { Context, ProviderLive } from "../context.ts";
import { troubleOf as databaseTrouble } from "../db/refusal.ts";
import {
  type EngineState,
  type Health,
  judge,
  overallHealth,
  type Probe,
  type Service,
  type ServiceHealth,
  SERVICES,
  troubleOf,
} from "../domain/health.ts";
import { listAgeIfOld } from "../domain/prices.ts";
import type { Provider } from "../domain/provider.ts";
import { routesOf } from "../domain/routes.ts";
import { listNodes } from "../store/nodes.ts";
import { readRows } from "../store/rows.ts";
import { SCHEDULE_HEALTH } from "../store/schedule-health.ts";
import { WAITING } from "../store/stock.ts";
import { WEBHOOK_HEALTH } from "../store/webhooks.ts";
import { listOpenAlerts } from "./alerts.ts";
import { filesReasons } from "./shared-files.ts";
import { commonTime } from "./time.ts";

/** The state of this process's engine; `undefined` if it has none. */
export type EngineProbe = () => EngineState | undefined;

export type SystemStatus = {
  status: Health;
  services: Record<Service, Health>;
  reasons: { service: string; reason: string }[];
  checkedAt: number;
};

/** Examines every service. */
export async function systemStatus(ctx: Context, engine: EngineProbe): Promise<SystemStatus> {
  const checks = await Promise.all(
    SERVICES.map(async (name) => [name, await serviceHealth(ctx, engine, name)] as const),
  );
  const services = Object.fromEntries(checks.map(([name, { status }]) => [name, status])) as Record<
    Service,
    Health
  >;
  const alerts = await listOpenAlerts(ctx).catch(() => []);
  const files = await filesReasons(ctx).catch(() => []);
  const status = overallHealth(services);
  const isAiling = alerts.length > 0 || ctx.live.filesTrouble !== null;
  return {
    status: status === "healthy" && isAiling ? "degraded" : status,
    services,
    reasons: [
      ...checks.flatMap(([service, { reasons }]) => reasons.map((reason) => ({ service, reason }))),
      ...alerts.map(({ code, message }) => ({ service: code, reason: message })),
      ...oldPrices(ctx.clock.now()),
      ...files.map((reason) => ({ service: "files", reason })),
    ],
    checkedAt: ctx.clock.now(),
  };
}

/** Old prices do not make a service unhealthy, but readers of the status should know. */
function oldPrices(nowMs: number) {
  const days = listAgeIfOld(nowMs);
  if (days === null) return [];
  const reason = `The built-in list of prices is ${days} days old; costs may be wrong. Update the program, or set PRICES_FILE`;
  return [{ service: "prices", reason }];
}

/** Examines one service. An error during the examination makes it unhealthy. */
export async function serviceHealth(
  ctx: Context,
  engine: EngineProbe,
  name: Service,
): Promise<ServiceHealth> {
  try {
    return await EXAMINE[name](ctx, engine);
  } catch {
    return judge({}, { unhealthy: ["The database does not answer"] });
  }
}

const EXAMINE: Record<
  Service,
  (ctx: Context, engine: EngineProbe) => Promise<ServiceHealth> | ServiceHealth
> = {
  database: examineDatabase,
  openai: examineProviders,
  scheduler: examineScheduler,
  workers: examineWorkers,
  webhooks: examineWebhooks,
};

const SLOW_QUERY_SECONDS = 1;

async function examineDatabase(ctx: Context): Promise<ServiceHealth> {
  const begun = ctx.clock.monotonic();
  let lastError: string | null = null;
  try {
    await ctx.client.execute("SELECT seq, status FROM tasks ORDER BY seq DESC LIMIT 1");
    lastError = ctx.writer.trouble();
  } catch (error) {
    lastError = databaseTrouble(error) ?? "The query failed";
  }
  const queryTime = Math.round((ctx.clock.monotonic() - begun) * 100) / 100_000;
  return judge(
    {
      connectionCount: lastError === null ? 1 : 0,
      queryTime,
      lastError,
      kind: ctx.isExclusive ? "file" : "server",
    },
    {
      unhealthy: [lastError ?? false],
      degraded: [queryTime > SLOW_QUERY_SECONDS && `A small query took ${queryTime} s`],
    },
  );
}

async function examineProviders(ctx: Context): Promise<ServiceHealth> {
  const { providers, defaultModel } = ctx.config;
  const live = ctx.live.providers();
  const found = await Promise.all(
    providers.map((_, index) => ctx.probeProvider(index, 0, PROBE_KEPT_MS)),
  );
  const first = routesOf(ctx.config, defaultModel)[0]?.provider ?? 0;
  const verdicts = providers.map((provider, i) => verdictOn(provider, found[i], live[i]));
  const own = verdicts[first];
  const others = verdicts.filter((_, i) => i !== first).flatMap(({ problems }) => problems);
  return judge(
    {
      ...own?.reported,
      defaultModel,
      providers: verdicts.map(({ reported }) => reported),
    },
    {
      unhealthy: own?.isFatal ? own.problems : [],
      degraded: [...(own && !own.isFatal ? own.problems : []), ...others],
    },
  );
}

/** How old a provider's answer to a probe may be. */
const PROBE_KEPT_MS = 30_000;

/** The displayed state of one provider, and its problems. */
function verdictOn(provider: Provider, probe: Probe | undefined, live: ProviderLive | undefined) {
  const { at = 0, latencyMs = 0, status = null, error = null, isNoApi = false } = probe ?? {};
  const isRefused = !isNoApi && (status === 401 || status === 403);
  const name = provider.name;
  const problems = [
    isRefused && `${name} refuses ${status === 401 ? "the API key" : "access"}: ${error}`,
    status === null && error !== null && `${name} cannot be reached: ${error}`,
    isNoApi && `${name} is not an API of models: ${error}`,
    !isRefused &&
      !isNoApi &&
      status !== null &&
      error !== null &&
      `${name} answers with ${status}: ${error}`,
    live?.breaker === "open" && error === null && `Calls to ${name} fail, so none are made for now`,
    live !== undefined && live.keysOut > 0 && `${live.keysOut} of ${name}'s keys are refused`,
  ].filter((problem) => problem !== false);
  return {
    problems,
    isFatal: isRefused || isNoApi || (status === null && error !== null),
    reported: {
      provider: name,
      isSimulator: provider.kind === "simulator",
      models: provider.models ?? ["*"],
      responseTime: Math.round(latencyMs) / 1000,
      lastStatus: status,
      lastError: error,
      lastCheck: new Date(at).toISOString(),
      ...(live && toDetails(live)),
    },
  };
}

function toDetails({ models, openUntil, ...live }: ProviderLive) {
  return {
    ...live,
    openUntil: openUntil === null ? null : new Date(openUntil).toISOString(),
    pacers: models.map(
      ({ model, isFlex, key, waitMs, pacer: { inFlight, blockedUntil, requests, tokens } }) => ({
        model,
        tier: isFlex ? "flex" : null,
        key,
        wait: waitMs / 1000,
        inFlight,
        requests,
        tokens,
        blockedUntil: blockedUntil === null ? null : new Date(blockedUntil).toISOString(),
      }),
    ),
  };
}

/** A fire that is this late means that no process fires schedules. */
const LATE_FIRE_MS = 15_000;

async function examineScheduler(ctx: Context): Promise<ServiceHealth> {
  const [schedules] = await readRows(ctx.reads.client, SCHEDULE_HEALTH);
  if (!schedules) throw new Error("aggregates always have a row");
  const { total, active, nextAt } = schedules;
  const lagMs = nextAt === null ? 0 : Math.max(0, (await commonTime(ctx)) - nextAt);
  return judge(
    {
      schedules: total,
      active,
      lag: lagMs / 1000,
      nextRun: nextAt === null ? null : new Date(nextAt).toISOString(),
    },
    { degraded: [lagMs > LATE_FIRE_MS && `A fire is ${Math.round(lagMs / 1000)} s late`] },
  );
}

/** An endpoint that answers gets its events within moments. */
const LATE_DELIVERY_MS = 60_000;

async function examineWebhooks(ctx: Context): Promise<ServiceHealth> {
  const [found] = await readRows(ctx.reads.client, WEBHOOK_HEALTH);
  if (!found) throw new Error("aggregates always have a row");
  const { active, failing, disabled, fresh, retried, held, unread, oldestAt } = found;
  const oldestMs = oldestAt === null ? 0 : Math.max(0, ctx.clock.now() - oldestAt);
  return judge(
    {
      active,
      failing,
      disabled,
      waitingDeliveries: fresh + retried,
      neverAttempted: fresh,
      heldDeliveries: held,
      oldestAge: oldestMs / 1000,
      unreadEvents: unread,
    },
    {
      degraded: [
        oldestMs > LATE_DELIVERY_MS &&
          `An event has waited ${Math.round(oldestMs / 1000)} s to be sent for the first time`,
        failing > 0 && `${failing} of ${active} webhooks take no deliveries at present`,
        disabled > 0 && `${disabled} webhooks were disabled because they failed`,
      ],
    },
  );
}

/**
 * A node whose last heartbeat is older than this share of its lease is late; normally one comes every third of it.
 */
const LATE_SHARE = 2 / 3;
/** Ready work that was not started for this long, while nothing runs, is stuck. */
const STUCK_MS = 30_000;
const LAGGING_MS = 1000;

async function examineWorkers(ctx: Context, engine: EngineProbe): Promise<ServiceHealth> {
  const [nodes, [waiting]] = await Promise.all([
    readRows(ctx.reads.client, listNodes(ctx.config.leaseMs)),
    readRows(ctx.reads.client, WAITING),
  ]);
  const state = engine();
  const trouble = troubleOf(state);
  const lagMs = ctx.load.lagMs();
  const late = nodes.filter(({ silentMs, leaseMs }) => silentMs > leaseMs * LATE_SHARE);
  const running = nodes.reduce((sum, { running }) => sum + running, 0);
  const oldestMs = waiting?.oldestAt ? ctx.clock.now() - waiting.oldestAt : 0;
  return judge(
    {
      nodes: nodes.map(({ seq, silentMs, startedAt, isRunner, running }) => ({
        node: seq,
        runsTasks: isRunner === 1,
        startedAt: new Date(startedAt).toISOString(),
        heartbeatAge: silentMs / 1000,
        running,
      })),
      threads: state?.threads ?? 0,
      threadsAlive: state?.threadsAlive ?? 0,
      inFlight: state?.inFlight ?? 0,
      maxConcurrency: ctx.config.maxConcurrency,
      queueDepth: waiting?.depth ?? 0,
      oldestAge: oldestMs / 1000,
      eventLoopLag: lagMs / 1000,
    },
    {
      unhealthy: [
        nodes.every(({ isRunner }) => isRunner === 0) && "No process runs tasks",
        state?.threadsAlive === 0 && "No worker thread is alive",
        trouble !== undefined && `${trouble}: ${state?.trouble?.why}`,
      ],
      degraded: [
        late.length > 0 && `${late.length} of ${nodes.length} nodes have fallen silent`,
        state !== undefined &&
          state.threadsAlive > 0 &&
          state.threadsAlive < state.threads &&
          `${state.threads - state.threadsAlive} of ${state.threads} worker threads are starting again`,
        running === 0 && oldestMs > STUCK_MS && "Tasks are ready, and none is started",
        lagMs > LAGGING_MS && `The event loop is ${Math.round(lagMs)} ms late`,
      ],
    },
  );
}
