import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { background } from "../lib/background.ts";
import type { Cancel } from "../lib/clock.ts";
import { createLoop } from "../lib/loop.ts";
import { mergePatch } from "../lib/merge-patch.ts";
import { readLive } from "../store/live.ts";
import { readStock } from "../store/stock.ts";
import type { StreamReader } from "./event-hub.ts";
import { createPaces } from "./live-pace.ts";
import { type LiveHealth, type LiveState, toLiveState } from "./live-state.ts";
import { createViewer, type Viewer } from "./live-viewer.ts";
import { type EngineProbe, systemStatus } from "./status.ts";

export type LiveHub = {
  /** A stream of the state, and then of its changes. */
  open(reader: StreamReader): Promise<ReadableStream<Uint8Array>>;
  /** The current state. */
  read(): Promise<LiveState>;
  /** Sets the function that counts the open requests and streams of this process. */
  countWith(connections: () => number): void;
  start(): void;
  /** Ends all streams, with a hint to reconnect. */
  stop(): Promise<void>;
  /** How many streams are open. */
  size(): number;
};

/** Changes within this time are sent together: at most four times a second. */
const PAUSE_MS = 250;
/** Backstop, because parts of the state change without a signal, such as the load of the process. */
const BACKSTOP_MS = 1000;
const HEALTH_EVERY_MS = 5000;
const PING_MS = 9000;
/** Up to this many batches the sums are read in the same statement as the rest. */
const FEW_BATCHES = 2000;
const FAREWELL = "retry: 1000\n\n: the server stops; come back\n\n";
const UNREADABLE: LiveHealth = {
  status: "unhealthy",
  reasons: [{ service: "database", reason: "The database does not answer" }],
};

const encoder = new TextEncoder();

/*
 * Computes the state of the live view once for all viewers.
 *
 *   asleep    there are no viewers, and nothing is read. Left when a stream is opened.
 *   waiting   left by a signal that something has changed, or by the backstop; not sooner than a quarter of a
 *             second after the last reading began.
 *   reading   one statement reads everything, so that all figures are of one moment. What differs from the last
 *             state goes to all viewers as one patch, the same bytes for each.
 *   stopped   all streams are ended.
 */
export function createLiveHub(ctx: Context, engine: EngineProbe): LiveHub {
  const log = getLogger(["gptrunner", "live"]);
  const { clock, signals } = ctx;
  const viewers = new Set<Viewer>();
  const paces = createPaces(clock);
  let state: LiveState | undefined;
  let whole: Uint8Array | undefined;
  let health: LiveHealth = { status: "healthy", reasons: [] };
  let healthAt = -Infinity;
  let batches = 0;
  /** The duration of the last reading. The pause is measured from the beginning of a reading. */
  let tookMs = 0;
  let connections = () => 0;
  let keyChanges = 0;
  let isStopped = false;
  let cancelPings: Cancel | undefined;
  const unsubscribe: (() => void)[] = [];

  const loop = createLoop({
    log,
    complaint: "The live state could not be read",
    clock,
    work,
    pauseMs: () => PAUSE_MS - tookMs,
    backstopMs: BACKSTOP_MS,
    retryMs: BACKSTOP_MS,
    maxRetryMs: BACKSTOP_MS,
  });
  const nudge = () => loop.nudge(0);

  async function work(): Promise<void> {
    if (viewers.size === 0) return;
    const begun = clock.monotonic();
    try {
      publish(await compute());
    } catch (error) {
      if (state) publish({ ...state, health: UNREADABLE });
      throw error;
    } finally {
      tookMs = Math.min(PAUSE_MS, clock.monotonic() - begun);
    }
    if (clock.monotonic() - healthAt > HEALTH_EVERY_MS) examine();
  }

  async function compute(): Promise<LiveState> {
    const isInOne = batches <= FEW_BATCHES;
    const { stock: atOnce, ...rest } = await readLive(ctx.reads.client, clock.now(), isInOne);
    const stock = atOnce ?? (await readStock(ctx));
    batches = stock.batches;
    paces.note(rest.batches, stock);
    return toLiveState(
      ctx,
      { ...rest, stock },
      { paceOf: paces.of, connections: connections(), health, keyChanges },
    );
  }

  function publish(next: LiveState): void {
    // The last viewer may have left while it was read; the next one gets a new state.
    if (viewers.size === 0) return;
    const { at: _before, ...before } = state ?? { at: "" };
    const { at, ...after } = next;
    const patch = mergePatch(before, after);
    state = next;
    whole = undefined;
    if (patch === undefined) return;
    const chunk = frame("patch", { at, ...patch });
    for (const viewer of viewers) viewer.push(chunk);
  }

  /** The whole state as a frame, for new viewers, and for those that are behind. */
  function wholeFrame(): Uint8Array | undefined {
    return (whole ??= state && frame("state", state));
  }

  /** The services are examined separately, so that a provider that does not answer delays no figure. */
  function examine(): void {
    healthAt = clock.monotonic();
    const look = async () => {
      const { status, reasons } = await systemStatus(ctx, engine);
      health = { status, reasons };
      nudge();
    };
    background(log, "The examination of the system", look());
  }

  function leave(viewer: Viewer): void {
    viewers.delete(viewer);
    if (viewers.size > 0) return;
    cancelPings?.();
    state = undefined;
    whole = undefined;
    paces.forget();
    background(log, "The end of reading the live state", loop.stop());
  }

  return {
    async open({ signal, release }) {
      const end = () => viewer.close(": the API key is no longer valid\n\n");
      const viewer = createViewer({
        wholeFrame,
        onClose() {
          signal.removeEventListener("abort", end);
          leave(viewer);
          release();
        },
      });
      viewers.add(viewer);
      signal.addEventListener("abort", end);
      if (signal.aborted) end();
      else if (isStopped) viewer.close(FAREWELL);
      else if (viewers.size === 1) {
        loop.start();
        cancelPings = clock.setInterval(() => {
          for (const viewer of viewers) viewer.ping();
        }, PING_MS);
      }
      signals.emit("listening", undefined);
      nudge();
      return viewer.body;
    },
    async read() {
      return compute();
    },
    countWith(count) {
      connections = count;
    },
    start() {
      unsubscribe.push(signals.on("keys", () => keyChanges++));
      for (const topic of TOPICS) unsubscribe.push(signals.on(topic, nudge));
    },
    async stop() {
      isStopped = true;
      for (const end of unsubscribe) end();
      for (const viewer of viewers) viewer.close(FAREWELL);
      await loop.stop();
    },
    size: () => viewers.size,
  };
}

const TOPICS = [
  "events",
  "elsewhere",
  "batch",
  "queued",
  "settled",
  "schedules",
  "deleted",
  "webhooks",
  "keys",
  "files",
] as const;

function frame(event: "state" | "patch", data: object): Uint8Array {
  return encoder.encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}
