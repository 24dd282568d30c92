import type { Context, Waiting } from "../context.ts";
import type { Gate } from "../domain/lanes.ts";
import type { CallEnd, Ticket } from "../domain/pacer.ts";
import type { KnownPrice } from "../domain/prices.ts";
import { guessSize, type RequestSize } from "../domain/token-counter.ts";
import { BoundedMap } from "../lib/bounded-map.ts";
import type { Claimed, LaneClaim } from "../store/claim.ts";
import type { Lane } from "./lane-book.ts";
import type { NextRuns } from "./next-runs.ts";
import type { Called } from "./outcome.ts";
import type { Upstream } from "./sites.ts";
import type { Texts } from "./texts.ts";
import type { Begun, Choice, Upstreams } from "./upstreams.ts";

/** A call in flight; `ticket` if a pacer counts it. */
export type Paced = {
  upstream: Upstream;
  begun: Begun;
  ticket: Ticket | null;
  batch: number;
  /** It is a trial call, to find out whether its provider is back. */
  isTrial: boolean;
};

/** The assumed length of an answer until there are some; less if `maxTokens` is less. */
const FIRST_OUTPUT = 256;
const LEARNING = 0.1;
/** The most runs with counted tokens that were not claimed yet, or never will be. */
const COSTS_REMEMBERED = 10_000;
/** The longest that a turn waits for the token counts; the rest is estimated. */
const COUNTING_MS = 200;
/** The least time between two wake-ups of the dispatcher; faster calls share one. */
const WAKE_MS = 5;
const NO_GATES: readonly Gate[] = [];

/**
 * The pacers of this process, one for each model of a provider and key, shared by all callers. Before a turn they
 * decide where calls go and how many may start (`open`), during it which of the starts fit (`fit`), and after it when
 * the next turn is due (`wakeAt`). A lane that must wait is not served: it holds no slot, no worker and no claim. The
 * tokens of a request are counted only if tokens are limited, before it is claimed.
 */
export function createPacing(
  { clock, tokens }: Pick<Context, "clock" | "tokens">,
  upstreams: Upstreams,
  texts: Texts,
  nextRuns: NextRuns,
) {
  const costs = new BoundedMap<number, Cost>(COSTS_REMEMBERED);
  let turn = 0;

  /** The expected costs of the next runs of a lane, in the order of the claim. */
  async function peek(lane: Lane, upstream: Upstream, limit: number): Promise<Cost[]> {
    const rows = await nextRuns.read(lane, limit, texts.bytesFor(limit, 1));
    const next = await texts.bodiesOf(rows);
    const known = next.map(({ task }) => costs.get(task));
    const unknown = next.filter((_, i) => !known[i]);
    const { model } = upstream;
    const sizes = await tokens.measure(
      unknown.map(({ body }) => ({ model, body })),
      COUNTING_MS,
    );
    const found = sizes.map((size) => costOf(upstream, lane.lane, size));
    for (const [i, cost] of found.entries()) costs.set(unknown[i]?.task ?? 0, cost);
    return known.flatMap((cost) => cost ?? found.shift() ?? []);
  }

  /** How many of the next `limit` runs of a lane fit into the remaining tokens. */
  async function trim(
    lane: Lane,
    upstream: Upstream,
    limit: number,
    taken: Taken,
  ): Promise<number> {
    if (taken.tokens === Infinity) return 0;
    let count = 0;
    for (const { prompt, output } of await peek(lane, upstream, limit)) {
      const cost = prompt + output;
      if (!upstream.pacer.fitsTokens(cost, clock.steady(), taken.tokens)) {
        // It reserves the remaining tokens, so that smaller requests do not starve it.
        taken.tokens = Infinity;
        upstream.head = cost;
        return count;
      }
      taken.tokens += cost;
      count++;
    }
    upstream.head = 0;
    return count;
  }

  return {
    /** Chooses the upstream of each lane, and adds gates to lanes whose calls may not all start now. */
    open(lanes: Lane[], at: number): void {
      turn++;
      const choices = new Map<string, { choice: Choice; price: KnownPrice }>();
      for (const lane of lanes) {
        lane.upstream = null;
        lane.shutUntil = null;
        lane.isTrial = false;
        lane.gates = NO_GATES;
        lane.pacedBy = null;
        lane.price = "dryRun";
        if (lane.isDryRun) continue;
        let found = choices.get(lane.model);
        if (!found) choices.set(lane.model, (found = choose(lane.model, at)));
        const { upstream, gates, isTrial, until } = found.choice;
        lane.upstream = upstream;
        lane.isTrial = isTrial;
        if (!upstream) {
          lane.shutUntil = until;
          lane.gates = [SHUT];
          continue;
        }
        lane.price = found.price;
        const paces = upstream.site.isPaced ? paced(upstream, gates, at) : gates;
        lane.pacedBy = paces === gates ? null : upstream;
        lane.gates = lane.isLimited ? [lane.purse, ...paces] : paces;
      }
    },

    /** Reduces the starts to what the token limits allow, in the order of the lanes' last turn. */
    async fit(starts: Map<Lane, number>, lanes: Lane[]): Promise<LaneClaim[]> {
      const claims: LaneClaim[] = [];
      const taken = new Map<Upstream, Taken>();
      for (const lane of lanes) {
        const upstream = lane.ready > 0 ? lane.pacedBy : null;
        if (upstream) taken.set(upstream, { calls: 0, tokens: 0 });
      }
      for (const [lane, wanted] of [...starts].toSorted(byLastServed)) {
        let limit = wanted;
        const upstream = lane.pacedBy;
        const so = upstream && taken.get(upstream);
        if (so) {
          if (upstream.pacer.limitsTokens()) limit = await trim(lane, upstream, limit, so);
          so.calls += limit;
        }
        if (limit > 0) claims.push(toClaim(lane, limit));
      }
      for (const [upstream, { calls, tokens }] of taken)
        upstream.isShort = calls >= Math.floor(upstream.room) || tokens === Infinity;
      return claims;
    },

    /** Starts a call of a lane; `null` if the simulator answers it in a dry run. */
    begin(row: Claimed, { upstream, isTrial }: Lane): Paced | null {
      if (!upstream || row.isDryRun === 1) return null;
      const isPatient = row.timeoutMs === null && !upstream.isFlex;
      const begun = upstreams.begin(upstream, row.task, isPatient);
      let ticket: Ticket | null = null;
      if (upstream.site.isPaced) {
        let cost: Cost | null = null;
        if (upstream.pacer.limitsTokens()) {
          cost = costs.get(row.task) ?? costOf(upstream, row.lane, guessSize(row));
          costs.delete(row.task);
        }
        ticket = upstream.pacer.start(cost ? cost.prompt + cost.output : 0, clock.steady());
      }
      return { upstream, begun, ticket, batch: row.lane, isTrial };
    },

    /** Drops a run that needs no call. */
    pass({ task }: Claimed): null {
      costs.delete(task);
      return null;
    },

    end({ upstream, begun, ticket, batch }: Paced, outcome: Called): void {
      upstreams.end(begun, outcome, clock.steady());
      if (!ticket) return;
      const { failure, signals, final } = outcome;
      const used =
        final.promptTokens === null ? null : final.promptTokens + (final.completionTokens ?? 0);
      upstream.pacer.end(
        ticket,
        {
          outcome: verdictOn(failure),
          signals: withAsked(signals, failure),
          usedTokens: used,
        },
        clock.steady(),
      );
      if (final.completionTokens !== null && upstream.pacer.limitsTokens())
        learn(upstream.outputs, batch, final.completionTokens);
    },

    /** Why ready tasks of a batch with these lanes may not start yet. `until`: when the next one may. */
    waitingOf(lanes: Iterable<Lane>, at: number): Waiting | null {
      let [until, isShut, isShort] = [Infinity, false, false];
      for (const lane of lanes) {
        if (lane.ready === 0) continue;
        isShut ||= lane.shutUntil !== null;
        isShort ||= lane.pacedBy?.isShort === true;
        until = Math.min(until, whenOpen(lane, at));
      }
      if (!isShut && !isShort) return null;
      return {
        reason: isShort ? "rate_limit" : "provider_unavailable",
        until: until < Infinity ? Math.ceil(until) : null,
      };
    },

    /** When a waiting lane may start a call, or is to be checked again; `Infinity` if none waits. */
    wakeAt(lanes: Iterable<Lane>, at: number): number {
      let soonest = Infinity;
      for (const lane of lanes)
        if (lane.ready > 0) soonest = Math.min(soonest, lane.isTrial ? at : whenOpen(lane, at));
      return Math.max(soonest, at + WAKE_MS);
    },
  };

  function choose(laneName: string, at: number): { choice: Choice; price: KnownPrice } {
    const choice = upstreams.choose(laneName, at);
    const { upstream } = choice;
    return { choice, price: upstream ? upstreams.priceAt(upstream) : "unknown" };
  }

  function paced(upstream: Upstream, gates: readonly Gate[], at: number): readonly Gate[] {
    if (upstream.turn !== turn) {
      // Room that live calls wait for is reserved for them.
      const room =
        upstream.waiting > 0 ? upstream.pacer.room(at) - upstream.waiting : upstream.pacer.room(at);
      Object.assign(upstream, { turn, room: Math.max(0, room) });
    }
    const isFree = upstream.room === Infinity && !upstream.pacer.limitsTokens();
    return isFree ? gates : [upstream, ...gates];
  }
}

function byLastServed([a]: [Lane, number], [b]: [Lane, number]): number {
  return a.lastServed - b.lastServed;
}

function whenOpen(lane: Lane, at: number): number {
  if (lane.shutUntil !== null) return lane.shutUntil;
  const upstream = lane.pacedBy;
  return upstream?.isShort ? upstream.pacer.whenRoom(upstream.head, at) : Infinity;
}

function toClaim({ lane, model, price, isLimited, byAge }: Lane, limit: number): LaneClaim {
  return { lane, model, limit, price, isLimited, byAge };
}

const SHUT: Gate = { room: 0 };

/** What the end of a call shows about the rate limit. */
export function verdictOn(failure: Called["failure"]): CallEnd["outcome"] {
  if (failure === null || failure.cause === "schema_mismatch") return "answered";
  if (failure.cause === "rate_limited") return "throttled";
  return failure.cause === "overloaded" ? "overloaded" : "failed";
}

/** Uses the wait that the provider asks for, which may come with any status. */
export function withAsked(
  signals: Called["signals"],
  failure: Called["failure"],
): Called["signals"] {
  const asked = failure?.retryAfterMs ?? null;
  if (asked === null || signals?.retryAfterMs != null) return signals;
  return { requests: null, tokens: null, scarce: null, ...signals, retryAfterMs: asked };
}

type Taken = { calls: number; tokens: number };

type Cost = { prompt: number; output: number };

function costOf(
  { outputs }: Upstream,
  batch: number,
  { promptTokens, maxOutputTokens }: RequestSize,
): Cost {
  const output = Math.min(maxOutputTokens ?? Infinity, outputs.get(batch) ?? FIRST_OUTPUT);
  return { prompt: promptTokens, output };
}

function learn(outputs: Map<number, number>, batch: number, tokens: number): void {
  const mean = outputs.get(batch);
  outputs.set(batch, mean === undefined ? tokens : mean + (tokens - mean) * LEARNING);
}
