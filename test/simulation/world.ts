import type { ClientWorld } from "./acting.ts";
import { createAnswerChecks } from "./answer-checks.ts";
import { createCallChecks } from "./call-checks.ts";
import { createChainChecks } from "./chain-checks.ts";
import { INPUT_FILE, KEYS, LINES_FILE, linesForDecisions, startClient } from "./clients.ts";
import { createDatabase, type Database, NO_DATABASE_FAULTS, type Store } from "./database.ts";
import { createDisturber } from "./disturber.ts";
import { applyFault, type Faulty } from "./faults.ts";
import { createFiles } from "./files.ts";
import { letFinish } from "./finish.ts";
import { createFlexChecks } from "./flex-checks.ts";
import { createHistory } from "./history.ts";
import { startHunter } from "./hunter.ts";
import { createLeaseChecks } from "./lease-checks.ts";
import { createLedger } from "./ledger.ts";
import { isLive } from "./live-clients.ts";
import { createMoneyChecks } from "./money-checks.ts";
import { FILES_DIR, type Node, startNode } from "./node.ts";
import type { Plan } from "./plan.ts";
import { createProvider } from "./provider.ts";
import { startPursuer } from "./pursuer.ts";
import { createLuck, type Luck } from "./random.ts";
import { type Reader, startReader } from "./readers.ts";
import { createReceivers } from "./receiver.ts";
import { createRunChecks } from "./run-checks.ts";
import { createBatchSlotChecks, createNodeSlotChecks } from "./slot-checks.ts";
import { createQueueChecks, createStateChecks } from "./state-checks.ts";
import { createTimeline } from "./timeline.ts";
import { createUnpricedChecks } from "./unpriced-checks.ts";

/** The start time of every world: a Monday. */
const EPOCH = Date.UTC(2026, 0, 5, 8);
const CHECK_EVERY_MS = 1000;
/** A broken world would otherwise complain endlessly. */
const MOST_COMPLAINTS = 20;

export type Outcome = {
  /** The faults that were found. A correct engine has none. */
  complaints: string[];
  /** A hash of the history: the same history gives the same number on every machine. */
  fingerprint: number;
  runs: number;
  calls: number;
  kills: number;
  faults: number;
  virtualMs: number;
  trace: string[];
};

export type Options = { store: Store; isTraced?: boolean };

/** Everything that a world consists of. */
export type World = ReturnType<typeof createWorld>;

function createWorld(plan: Plan, { store, isTraced = false }: Options) {
  const timeline = createTimeline();
  const luck = createLuck(`${plan.profile}/${plan.seed}/world`);
  const database = createDatabase(timeline, EPOCH, store);
  const provider = createProvider(timeline, luck.fork("provider"), plan);
  provider.latencyMs = plan.latencyMs;
  const receivers = createReceivers(luck.fork("receivers"));
  const files = createFiles();
  files.put(`${FILES_DIR}/${INPUT_FILE}`, "id,prompt\ns1,s1|\ns2,s2|\ns3,s3|\n");
  files.put(`${FILES_DIR}/${LINES_FILE}`, linesForDecisions());
  const ledger = createLedger();
  const history = createHistory(database.truth);
  const nodes: (Node | undefined)[] = plan.nodes.map(() => undefined);
  const readers: Reader[] = [];
  const complaints: string[] = [];
  const trace: string[] = [];
  const counts = { kills: 0, starts: 0, answers: 0 };
  const calls = createCallChecks(provider.calls, plan.answers);
  const slots = createNodeSlotChecks(
    plan.nodes.map(({ config }) => config.maxConcurrency),
    complain,
  );

  /** Waits for work of the world itself, outside of its nodes. If it fails, the world is at fault. */
  function attend(work: Promise<unknown>): void {
    work.catch((error: unknown) => complain(`the world itself failed: ${String(error)}`));
  }

  function note(line: () => string): void {
    if (isTraced) trace.push(`${timeline.now().toFixed(1).padStart(9)}  ${line()}`);
  }

  function complain(what: string): void {
    if (complaints.length < MOST_COMPLAINTS && !complaints.includes(what)) complaints.push(what);
    note(() => `WRONG   ${what}`);
  }

  const isShared = plan.profile === "fleet";

  function start(index: number): void {
    const planned = plan.nodes[index];
    if (!planned || nodes[index]) return;
    const node = startNode({
      index,
      timeline,
      epoch: EPOCH,
      database,
      provider,
      receivers,
      files,
      chunks: plan.chunks,
      clockFaults: planned.clock,
      config: planned.config,
      isShared,
      threadsMs: plan.threadsMs,
      luck: luck.fork(`node ${index} start ${counts.starts++}`),
    });
    nodes[index] = node;
    note(() => `node ${index}  starts`);
    node.started.catch((error: unknown) => {
      note(() => `node ${index}  could not start: ${String(error)}`);
      // A process that cannot start exits, and its supervisor starts it again.
      if (nodes[index] === node) leave(index, 500);
    });
  }

  /** Kills a node. It starts again after `downMs`. */
  function leave(index: number, downMs: number): void {
    const node = nodes[index];
    if (!node) return;
    node.clock.kill();
    nodes[index] = undefined;
    calls.excuse((call) => call.node === index, timeline.now());
    slots.lost(index);
    timeline.at(timeline.now() + downMs, () => {
      if (!staysDead()) start(index);
    });
  }

  /** When faults have stopped, a node may stay dead if another one does its work. */
  function staysDead(): boolean {
    const isServed = nodes.some((node) => node !== undefined && node.ctx.config.role !== "api");
    return timeline.now() >= plan.activeMs && plan.leavesDead && isServed;
  }

  const living = () =>
    nodes.filter((node): node is Node => node !== undefined && !node.clock.isPaused());

  function nodeFor(by: Luck): Node | undefined {
    const some = living().filter((node) => !node.isStopping);
    return some[by.int(0, some.length - 1)];
  }

  return {
    plan,
    timeline,
    luck,
    database,
    provider,
    receivers,
    ledger,
    history,
    nodes,
    readers,
    complaints,
    trace,
    counts,
    calls,
    slots,
    leaving: new Set<Node>(),
    isShared,
    note,
    complain,
    answered(): void {
      counts.answers++;
    },
    attend,
    start,
    leave,
    staysDead,
    nodeFor,
    left: { webhooks: 3, schedules: 2, readers: 3, wrong: 30 },
    nodesAlive: () => nodes.filter((node): node is Node => node !== undefined),
    excuseCallsOf(batch: string): () => void {
      const since = timeline.now();
      const excuse = (tasks: Set<string>, from: number) =>
        calls.excuse(
          ({ task, endedAt }) => tasks.has(task) && (endedAt === null || endedAt >= from),
          timeline.now(),
        );
      attend(readQueued(database, batch, "claimed").then((tasks) => excuse(tasks, 0)));
      // Others may have been claimed, and handed back, since.
      return () => attend(readQueued(database, batch, "all").then((tasks) => excuse(tasks, since)));
    },
    crash(node: Node, ms: number): void {
      timeline.at(timeline.now() + ms, () => {
        if (nodes[node.index] !== node || timeline.now() > plan.activeMs) return;
        counts.kills++;
        note(() => `node ${node.index}  crashes`);
        leave(node.index, ms * 40);
      });
    },
    watch(node: Node): void {
      const luckOfReader = luck.fork(`reader ${readers.length}`);
      const lastEvent = history.last;
      readers.push(
        startReader(
          {
            timeline,
            activeMs: plan.activeMs,
            isRestless: plan.isRestless,
            luck: luckOfReader,
            nodeFor,
            lastEvent,
            complain,
          },
          node,
        ),
      );
    },
  } satisfies ClientWorld & Faulty & Record<string, unknown>;
}

/** The public ids of a batch's tasks that a node has claimed. */
async function readQueued(
  { truth }: Database,
  batch: string,
  which: "claimed" | "all",
): Promise<Set<string>> {
  const { rows } = await truth.execute({
    sql: `SELECT t.id FROM batches b JOIN queue q ON q.lane = b.seq JOIN tasks t ON t.seq = q.task
          WHERE b.id = ? AND (q.owner IS NOT NULL OR ?)`,
    args: [batch, which === "all"],
  });
  return new Set(rows.map((row) => String(row["id"])));
}

/** Carries out a plan, with checks throughout. */
export async function live(plan: Plan, options: Options): Promise<Outcome> {
  const world = createWorld(plan, options);
  const onRejection = (error: unknown) =>
    world.complain(`a promise was rejected and nobody took notice: ${String(error)}`);
  process.on("unhandledRejection", onRejection);
  try {
    await insideOneTask(() => {
      begin(world);
      world.timeline.run(() => false, plan.activeMs);
      endFaults(world);
      letFinish(world);
    });
    // The runtime reports rejected promises between tasks.
    await new Promise((resolve) => setImmediate(resolve));
    return outcomeOf(world);
  } finally {
    process.off("unhandledRejection", onRejection);
  }
}

/** Runs the whole simulation in one task of the real event loop, so that no real event can interrupt it. */
function insideOneTask(work: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        work();
        resolve();
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
}

function begin(world: World): void {
  const { plan, timeline, database, ledger, history, complain, note, attend } = world;
  for (const [i, id] of KEYS.entries())
    attend(
      database.truth.execute({
        sql: `INSERT INTO api_keys (seq, id, name, hash, prefix, scopes, origin, created_at, monthly_budget_usd)
            VALUES (?, ?, ?, ?, '', '["admin"]', 'api', ?, ?)`,
        args: [i + 1, id, id, id, EPOCH, plan.live?.budgetUsd ?? null],
      }),
    );
  if (plan.live) ledger.mayLimit();
  const checkRun = createRunChecks(database.truth, ledger, complain);
  const chains = createChainChecks(database.truth, complain);
  const checkMoney = createMoneyChecks(database.truth, complain);
  const checkUnpriced = createUnpricedChecks(database.truth, complain);
  const answers = createAnswerChecks(database.truth, world.provider.calls, {
    now: timeline.now,
    complain,
  });
  const checkBatchSlots = createBatchSlotChecks(database.truth, complain);
  const checkQueue = createQueueChecks(database.truth, complain);
  const checkFlex = createFlexChecks(plan, ledger, complain);
  const checkState = createStateChecks(database, complain);
  /** Only worlds with a plan for `rows` have chains. */
  const noteQueue = async () => {
    if (plan.rows) await chains.noteQueue();
  };
  const lookAtEvents = async () => {
    const rows = await history.advance();
    await answers.checkEnds(rows);
    for (const row of rows) {
      note(
        () =>
          `event   ${row.id} ${row.type} ${row.task ?? ""} ${row.batch ?? ""} ${row.data ?? ""}`,
      );
      await checkRun(row);
      await chains.check(row);
    }
    await noteQueue();
  };
  const checkLeases = createLeaseChecks(database.truth, {
    now: () => Math.floor(EPOCH + timeline.now()),
    mayLeave: (seq) => [...world.leaving].some(({ ctx }) => ctx.live.node === seq),
    // Another node has declared a node dead: the calls in flight there will be repeated.
    onGone: () => world.calls.excuse(() => true, timeline.now()),
    complain,
  });
  const disturb = createDisturber(world, world.luck.fork("makers"));
  database.onCommit = (touched) => {
    if (touched.chains && plan.rows?.disturbs) attend(disturb());
    if (touched.events) attend(lookAtEvents());
    else if (touched.queue) attend(noteQueue());
    if (touched.money && ledger.hasLimits()) attend(checkMoney());
    if (touched.money && plan.decides && ledger.hasLimits()) attend(checkUnpriced());
    if (touched.claims) attend(Promise.all([answers.noteClaims(), checkBatchSlots()]));
    if (touched.queue) attend(checkQueue());
    if (touched.nodes && world.isShared) attend(checkLeases());
  };
  world.provider.onCall = (call) => {
    note(
      () =>
        `call    ${call.task} to ${call.model} ${[...call.flags].join(" ")}${call.isFlex ? " flex" : ""} by node ${call.node}`,
    );
    if (!isLive(call)) world.slots.begun(call);
    checkFlex(call);
  };
  const check = () => {
    attend(checkState());
    timeline.at(timeline.now() + CHECK_EVERY_MS, check);
  };
  check();
  for (const [index] of plan.nodes.entries()) world.start(index);
  for (const client of plan.clients) startClient(world, client);
  if (plan.isPursued) startPursuer(world, world.luck.fork("pursuer"));
  if (plan.isHunted) startHunter(world, world.luck.fork("hunter"));
  for (const fault of plan.faults)
    timeline.at(fault.at, () => {
      note(() => `fault   ${JSON.stringify(fault)}`);
      applyFault(world, fault);
    });
}

function endFaults(world: World): void {
  world.note(() => "the faults stop");
  world.database.faults = NO_DATABASE_FAULTS;
  world.provider.mood = "well";
  world.provider.flexRoom = 1;
  world.receivers.mood = "well";
}

function outcomeOf(world: World): Outcome {
  const { history, provider, counts, plan, timeline } = world;
  let fingerprint = 0;
  const mix = (text: string) => {
    fingerprint = Bun.hash.xxHash32(text, fingerprint);
  };
  for (const { id, at, type, task, run, data } of history.rows)
    mix(`${id} ${at} ${type} ${task} ${run} ${data?.length}`);
  for (const { task, at, endedAt, outcome } of provider.calls)
    mix(`${task} ${at} ${endedAt} ${outcome}`);
  return {
    complaints: world.complaints,
    fingerprint,
    runs: history.rows.filter(({ type }) => type === "task.started").length,
    calls: provider.calls.length,
    kills: counts.kills,
    faults: plan.faults.length,
    virtualMs: timeline.now(),
    trace: world.trace,
  };
}
