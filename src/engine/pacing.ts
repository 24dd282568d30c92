import type { Context, Waiting } from "../context.ts";
import type { Gate } from "../domain/lanes.ts";
import { createPacer, type Pacer, type Ticket } from "../domain/pacer.ts";
import { isJsonObject, parseJson } from "../lib/json.ts";
import { estimatePromptTokens } from "../providers/tokens.ts";
import { type Claimed, type LaneClaim, type Upcoming, upcoming } from "../store/queue.ts";
import { rowsOf } from "../store/rows.ts";
import type { Lane } from "./lane-book.ts";
import type { Outcome } from "./protocol.ts";

/** A call that a pacer counts. */
export type Paced = { entry: Entry; ticket: Ticket; batch: number; prompt: number | null };

type Entry = Gate & {
  pacer: Pacer;
  model: string;
  /** The turn of which `room` is, and whether more calls would have started than it allowed. */
  turn: number;
  isShort: boolean;
  /** Tokens of the call that waits for them. */
  head: number;
  /** Tokens of recent answers, by batch: what `maxTokens` allows is seldom used up. */
  outputs: Map<number, number>;
};

/** Taken for the length of an answer until there are some; less where `maxTokens` is less. */
const FIRST_OUTPUT = 256;
const LEARNING = 0.1;
const BATCHES_REMEMBERED = 1000;
/** Wakes the dispatcher at most so often, for several calls at a time where they come faster. */
const WAKE_MS = 5;
const NO_GATES: readonly Gate[] = [];

/**
 * The pacers of this process, one for each model of the provider, whoever asks for it. Before a turn
 * they say how many calls may start (`open`), in it which of those that lanes would start fit
 * (`fit`), and after it when to come back (`wakeAt`). A lane that must wait is simply not served: it
 * holds no slot, no worker and no claim. What a request takes in tokens is counted only where tokens
 * are limited, before it is claimed.
 */
export function createPacing(ctx: Context) {
  const { config, client } = ctx;
  const entries = new Map<string, Entry>();
  const costs = new Map<number, Cost>();
  let turn = 0;
  const isPaced = config.provider.kind !== "simulator" || hasLimits(config.providerLimits);

  function entryOf(model: string): Entry {
    let entry = entries.get(model);
    if (!entry) {
      const pacer = createPacer(
        {
          limits: config.providerLimits,
          backoffMs: config.retryBaseMs,
          longestBackoffMs: config.retryMaxMs,
        },
        ctx.now(),
      );
      entry = {
        pacer,
        model,
        room: 0,
        turn: 0,
        isShort: false,
        head: 0,
        outputs: new Map(),
      };
      entries.set(model, entry);
    }
    return entry;
  }

  function costOf(entry: Entry, batch: number, body: string): Cost {
    const request = parseJson(body);
    const prompt = isJsonObject(request) ? estimatePromptTokens(entry.model, request) : 0;
    const allowed = isJsonObject(request) ? maxTokensOf(request) : Infinity;
    return { prompt, output: Math.min(allowed, entry.outputs.get(batch) ?? FIRST_OUTPUT) };
  }

  /** What the next runs of a lane take, in the order of the claim. */
  async function peek({ lane, model }: Lane, entry: Entry, limit: number): Promise<Cost[]> {
    const [result] = await client.batch([upcoming(lane, model, limit)], "read");
    return rowsOf<Upcoming>(result).map(({ task, body }) => {
      let cost = costs.get(task);
      if (!cost) costs.set(task, (cost = costOf(entry, lane, body)));
      return cost;
    });
  }

  /** How many of the next `limit` runs of a lane fit into what is left of the tokens. */
  async function trim(lane: Lane, entry: Entry, limit: number, taken: Taken): Promise<number> {
    if (taken.tokens === Infinity) return 0;
    let count = 0;
    for (const { prompt, output } of await peek(lane, entry, limit)) {
      const cost = prompt + output;
      if (!entry.pacer.fitsTokens(cost, ctx.now(), taken.tokens)) {
        // It keeps what there is for itself, lest smaller ones starve it.
        taken.tokens = Infinity;
        entry.head = cost;
        return count;
      }
      taken.tokens += cost;
      count++;
    }
    entry.head = 0;
    return count;
  }

  return {
    /** Puts gates on lanes whose calls may not all start now. */
    open(lanes: Lane[], now: number): void {
      if (!isPaced) return;
      turn++;
      for (const lane of lanes) {
        if (lane.isDryRun) continue;
        const entry = entryOf(lane.model);
        if (entry.turn !== turn) Object.assign(entry, { turn, room: entry.pacer.room(now) });
        const isFree = entry.room === Infinity && !entry.pacer.limitsTokens();
        lane.gates = isFree ? NO_GATES : [entry];
      }
    },

    /** Leaves of the starts what the token limits allow; in the order of the lanes' last turn. */
    async fit(starts: Map<string, number>, lanes: Lane[]): Promise<LaneClaim[]> {
      const claims: LaneClaim[] = [];
      const taken = new Map<Entry, Taken>();
      for (const lane of lanes.toSorted((a, b) => a.lastServed - b.lastServed)) {
        let limit = starts.get(lane.key) ?? 0;
        const entry = lane.gates?.length ? entryOf(lane.model) : undefined;
        if (entry && lane.ready > 0) {
          const so = taken.get(entry) ?? { calls: 0, tokens: 0 };
          taken.set(entry, so);
          if (limit > 0 && entry.pacer.limitsTokens()) limit = await trim(lane, entry, limit, so);
          so.calls += limit;
        }
        if (limit > 0) claims.push({ lane: lane.lane, model: lane.model, limit });
      }
      for (const [entry, { calls, tokens }] of taken)
        entry.isShort = calls >= Math.floor(entry.room) || tokens === Infinity;
      return claims;
    },

    begin(row: Claimed): Paced | null {
      if (!isPaced || row.isDryRun === 1) return null;
      const entry = entryOf(row.model);
      let cost: Cost | null = null;
      if (entry.pacer.limitsTokens()) {
        cost = costs.get(row.task) ?? costOf(entry, row.lane, row.body);
        costs.delete(row.task);
      }
      const ticket = entry.pacer.start(cost ? cost.prompt + cost.output : 0, ctx.now());
      return { entry, ticket, batch: row.lane, prompt: cost?.prompt ?? null };
    },

    end({ entry, ticket, batch }: Paced, { failure, signals, final }: Outcome): void {
      const isThrottled = failure?.cause === "rate_limited";
      const used =
        final.promptTokens === null ? null : final.promptTokens + (final.completionTokens ?? 0);
      entry.pacer.end(
        ticket,
        {
          outcome: isThrottled ? "throttled" : failure ? "failed" : "answered",
          signals,
          usedTokens: used,
        },
        ctx.now(),
      );
      if (final.completionTokens !== null && entry.pacer.limitsTokens())
        learn(entry.outputs, batch, final.completionTokens);
    },

    /** Why a batch waits: ready tasks of it may not start yet. `until` is when the next may. */
    waitingOf(lanes: Iterable<Lane>, batch: number, now: number): Waiting | null {
      let until = Infinity;
      for (const { batch: of, model, ready, gates } of lanes) {
        const entry = of === batch && ready > 0 && gates?.length ? entries.get(model) : undefined;
        if (entry?.isShort) until = Math.min(until, entry.pacer.whenRoom(entry.head, now));
      }
      return until < Infinity ? { reason: "rate_limit", until: Math.ceil(until) } : null;
    },

    /** When a lane that waits for its pacer may start a call; `Infinity` where none does. */
    wakeAt(lanes: Iterable<Lane>, now: number): number {
      let at = Infinity;
      for (const { model, ready, gates } of lanes) {
        const entry = ready > 0 && gates?.length ? entries.get(model) : undefined;
        if (entry?.isShort) at = Math.min(at, entry.pacer.whenRoom(entry.head, now));
      }
      return Math.max(at, now + WAKE_MS);
    },

    /** How long the next call of each model has to wait. */
    waits: (now: number) =>
      [...entries.values()].map(({ model, pacer, head }) => ({
        model,
        waitMs: Math.max(0, pacer.whenRoom(head, now) - now),
      })),
  };
}

type Taken = { calls: number; tokens: number };

type Cost = { prompt: number; output: number };

function learn(outputs: Map<number, number>, batch: number, tokens: number): void {
  const mean = outputs.get(batch);
  outputs.set(batch, mean === undefined ? tokens : mean + (tokens - mean) * LEARNING);
  if (outputs.size > BATCHES_REMEMBERED) {
    const [oldest] = outputs.keys();
    if (oldest !== undefined) outputs.delete(oldest);
  }
}

function maxTokensOf(body: Record<string, unknown>): number {
  for (const key of ["max_completion_tokens", "max_tokens", "max_output_tokens"]) {
    const value = body[key];
    if (typeof value === "number" && value >= 0) return value;
  }
  return Infinity;
}

function hasLimits({ rpm, tpm }: Context["config"]["providerLimits"]): boolean {
  return rpm !== null || tpm !== null;
}
