import { getLogger } from "@logtape/logtape";

import type { Delta } from "../context.ts";
import type { Provider } from "../domain/provider.ts";
import type { Clock } from "../lib/clock.ts";
import type { StartThread, Thread } from "../lib/thread.ts";
import type { UploadPlace } from "../lib/upload-reader.ts";
import { failure } from "../providers/classify.ts";
import { toReport } from "./call-runner.ts";
import type { Call, FromWorker, Report, ToWorker } from "./protocol.ts";

export type WorkerPool = {
  start(): void;
  /** Sends calls to the least busy threads. */
  run(calls: Call[]): void;
  /** Aborts calls; each is still reported, as a failure. */
  abort(tasks: number[]): void;
  stop(): void;
  /** How many threads are alive. */
  alive(): number;
  /** How many calls were sent to threads and not yet reported. */
  held(): number;
};

export type WorkerPoolOptions = {
  size: number;
  providers: Provider[];
  simulator: Provider;
  /** Where the uploads are stored that requests refer to. */
  uploads: UploadPlace;
  onReports: (reports: Report[]) => void;
  onDeltas: (deltas: Delta[]) => void;
  /** Whether this process still owns what it had at that time (monotonic). */
  isAlive: (since: number) => boolean;
  clock: Clock;
  startThread: StartThread;
};

type Slot = {
  worker: Thread<ToWorker> | undefined;
  startedAt: number;
  /** When its thread died. */
  diedAt: number;
  held: Map<number, Call>;
};

/** A thread that dies this soon after its start is started again only after the same time. */
const QUICK_DEATH_MS = 1000;

/*
 * Each slot has one thread for as long as the pool lives. Alive: it holds the calls that it has received and not yet
 * reported. Dead: its thread threw an error or ended; the calls that it held are reported as failed with
 * `worker_lost`, which is retried. It is restarted at once, or after a second if it died at its start; calls that
 * come meanwhile wait in the slot. They are given up if this process stood still for so long that others may have taken
 * them over.
 */
export function createWorkerPool(options: WorkerPoolOptions): WorkerPool {
  const log = getLogger(["gptrunner", "workers"]);
  let isStopped = false;
  const slots = Array.from({ length: options.size }, (): Slot => {
    return { worker: undefined, startedAt: 0, diedAt: 0, held: new Map() };
  });

  function startThread(slot: Slot): void {
    if (isStopped) return;
    const worker: Thread<ToWorker> = options.startThread<ToWorker, FromWorker>({
      onMessage: (message) => slot.worker === worker && receive(slot, message),
      onDeath: (why) => slot.worker === worker && lose(slot, why),
    });
    slot.worker = worker;
    slot.startedAt = options.clock.steady();
    const { providers, simulator, uploads } = options;
    send(slot, { type: "start", providers, simulator, uploads });
    if (!options.isAlive(slot.diedAt))
      giveUp(takeFrom(slot, [...slot.held.keys()]), "This process stood still before the call");
    if (slot.held.size > 0) send(slot, { type: "run", calls: [...slot.held.values()] });
  }

  function receive(slot: Slot, { reports, deltas }: FromWorker): void {
    for (const { task, claim } of reports)
      if (slot.held.get(task)?.claim === claim) slot.held.delete(task);
    if (deltas.length > 0) options.onDeltas(deltas);
    if (reports.length > 0) options.onReports(reports);
  }

  function lose(slot: Slot, why: string): void {
    if (isStopped) return;
    log.error("A worker thread died with {calls} calls in flight: {why}", {
      calls: slot.held.size,
      why,
    });
    slot.worker?.end();
    slot.worker = undefined;
    slot.diedAt = options.clock.monotonic();
    const lost = [...slot.held.values()];
    slot.held.clear();
    giveUp(lost, "The worker thread that made the call died");
    if (options.clock.steady() - slot.startedAt < QUICK_DEATH_MS)
      options.clock.setTimeout(() => startThread(slot), QUICK_DEATH_MS);
    else startThread(slot);
  }

  /** Reports calls that no thread will report. */
  function giveUp(calls: Call[], message: string): void {
    if (calls.length === 0) return;
    const why = failure("worker_lost", message);
    const nothing = { response: null, answer: null, signals: null, adjusted: [] };
    const end = { at: options.clock.now(), isAbandoned: false, usage: null };
    options.onReports(
      calls.map((call) => toReport(call, { ok: false, failure: why, ...nothing }, end)),
    );
  }

  /**
   * Gives up the earlier calls of tasks that this process has claimed again: those claims were lost, so their answers
   * do not count. A slot can hold only one call of a task.
   */
  function supersede(tasks: number[]): void {
    for (const slot of slots) {
      const held = tasks.filter((task) => slot.held.has(task));
      if (held.length === 0) continue;
      send(slot, { type: "abort", tasks: held });
      giveUp(takeFrom(slot, held), "The task was claimed again");
    }
  }

  return {
    start() {
      for (const slot of slots) startThread(slot);
    },
    run(calls) {
      supersede(calls.map(({ task }) => task));
      const shares = new Map<Slot, Call[]>();
      for (const call of calls) {
        const slot = slots.reduce((a, b) => (b.held.size < a.held.size ? b : a));
        slot.held.set(call.task, call);
        const share = shares.get(slot);
        if (share) share.push(call);
        else shares.set(slot, [call]);
      }
      for (const [slot, share] of shares) send(slot, { type: "run", calls: share });
    },
    abort(tasks) {
      for (const slot of slots) {
        const held = tasks.filter((task) => slot.held.has(task));
        if (held.length > 0 && slot.worker) send(slot, { type: "abort", tasks: held });
        else giveUp(takeFrom(slot, held), "No worker thread is available at present");
      }
    },
    held: () => slots.reduce((sum, { held }) => sum + held.size, 0),
    alive: () => slots.filter(({ worker }) => worker !== undefined).length,
    stop() {
      isStopped = true;
      for (const slot of slots) slot.worker?.end();
    },
  };
}

function takeFrom(slot: Slot, tasks: number[]): Call[] {
  const calls = tasks.flatMap((task) => slot.held.get(task) ?? []);
  for (const task of tasks) slot.held.delete(task);
  return calls;
}

/** Messages to a slot without a thread are sent when it has one. */
function send(slot: Slot, message: ToWorker): void {
  slot.worker?.post(message);
}
