import { getLogger } from "@logtape/logtape";

import type { Context, ProviderLive } from "../context.ts";
import type { Breaker } from "../domain/breaker.ts";
import { isHalt } from "../domain/failure.ts";
import { laneOfModel, readLaneName } from "../domain/flex.ts";
import type { Gate } from "../domain/lanes.ts";
import { createPacer, type Pacer } from "../domain/pacer.ts";
import { type KnownPrice, knownPrice } from "../domain/prices.ts";
import type { Route } from "../domain/provider.ts";
import { limitsFor, routesOf } from "../domain/routes.ts";
import { background } from "../lib/background.ts";
import { BoundedMap } from "../lib/bounded-map.ts";
import type { Called } from "./outcome.ts";
import { type Account, createSites, type Site, toLive, type Upstream, verdictOn } from "./sites.ts";

/** The most models that are tracked at a time; clients may invent names. */
const MOST_UPSTREAMS = 1000;
/** The number of batches whose answer lengths are remembered. */
const BATCHES_REMEMBERED = 1000;

/** Where a lane's calls go now. Without an upstream, no call can start before `until`. */
export type Choice = {
  upstream: Upstream | null;
  gates: readonly Gate[];
  /** A trial call finds out whether its provider is back; other calls go elsewhere. */
  isTrial: boolean;
  until: number;
};

type Asked = { hasOther: boolean; isFlex: boolean; isLive?: boolean };

/** The state of a started call, which is needed when it ends. */
export type Begun = {
  upstream: Upstream;
  task: number;
  /** It has the default timeout. If a user's shorter timeout ends a call, that says nothing of the provider. */
  isPatient: boolean;
  trials: [site: boolean, account: boolean];
};

export type Upstreams = ReturnType<typeof createUpstreams>;

const NO_GATES: readonly Gate[] = [];
/** How long a looked-up price is used. */
const PRICE_MS = 60_000;

/**
 * Chooses where calls go: to the first provider that serves the model and can be reached, with the key that has the
 * most room; otherwise to a fallback model. `onProbed` is called after each probe, with the reason if the provider
 * could not be reached.
 */
export function createUpstreams(
  ctx: Context,
  onProbed: (unreachable?: { provider: string; why: string }) => void,
) {
  const log = getLogger(["gptrunner", "engine"]);
  const { config } = ctx;
  const sites = createSites(config);
  const routes = new BoundedMap<string, Route[]>(MOST_UPSTREAMS);
  const prices = new BoundedMap<string, Upstream["price"]>(MOST_UPSTREAMS);
  const upstreams = new Map<string, Upstream>();
  /** The number of processes that share the configured limits. */
  let parts = ctx.live.nodes;

  function divideLimits(now: number): void {
    if (parts === ctx.live.nodes) return;
    parts = ctx.live.nodes;
    for (const { pacer } of upstreams.values()) pacer.divide(parts, now);
  }

  function routesFor(model: string): Route[] {
    let known = routes.get(model);
    if (!known) routes.set(model, (known = routesOf(config, model)));
    return known;
  }

  function upstreamOf(site: Site, account: Account, laneName: string): Upstream {
    const name = `${site.index}/${account.key}/${laneName}`;
    let upstream = upstreams.get(name);
    if (!upstream) {
      const { model, isFlex } = readLaneName(laneName);
      const limits = limitsFor(site.provider, model);
      const { retryBaseMs: backoffMs, retryMaxMs: longestBackoffMs } = config;
      const pacer = createPacer({ limits, backoffMs, longestBackoffMs }, ctx.clock.steady());
      pacer.divide(parts, ctx.clock.steady());
      const price = { is: "unknown" as const, at: -Infinity };
      const fresh = {
        room: 0,
        turn: 0,
        isShort: false,
        head: 0,
        waiting: 0,
        outputs: new BoundedMap<number, number>(BATCHES_REMEMBERED),
        price,
      };
      upstream = { site, account, model, isFlex, pacer, ...fresh };
      if (upstreams.size >= MOST_UPSTREAMS) forgetOne();
      upstreams.set(name, upstream);
    }
    return upstream;
  }

  /** Forgets a model without calls; its limits will be learned again. */
  function forgetOne(): void {
    for (const [name, { pacer }] of upstreams)
      if (pacer.inFlight() === 0) {
        upstreams.delete(name);
        return;
      }
  }

  function probe(site: Site, { key, breaker }: Account, which: Breaker): void {
    which.probing();
    const probing = ctx.probeProvider(site.index, key, 0).then(({ status, error }) => {
      const isOfKey = which === breaker;
      const isThere = isOfKey ? status !== 401 && status !== 403 : status !== null && status < 500;
      which.probed(isThere, ctx.clock.steady());
      if (isThere || isOfKey) onProbed();
      else onProbed({ provider: site.provider.name, why: error ?? `It answers with ${status}` });
    });
    background(log, "A probe of a provider", probing);
  }

  /**
   * The usable key of a provider whose pacer has the most room, and how many calls may start with it. If all keys are
   * refused and there is no other route, one is tried regardless.
   */
  function accountFor(
    site: Site,
    laneName: string,
    hasOther: boolean,
    now: number,
  ): { account: Account; calls: number } | undefined {
    let best: { account: Account; calls: number; pacer: Pacer } | undefined;
    for (const account of site.accounts) {
      if (account.breaker.isProbeDue(now)) probe(site, account, account.breaker);
      const calls = account.breaker.room(now, hasOther || site.accounts.length > 1);
      if (calls === 0) continue;
      const { pacer } = upstreamOf(site, account, laneName);
      if (!best || isRoomier(pacer, best.pacer, now)) best = { account, calls, pacer };
    }
    const [first] = site.accounts;
    return best ?? (hasOther || !first ? undefined : { account: first, calls: Infinity });
  }

  function open(
    route: Route,
    { hasOther, isFlex, isLive = false }: Asked,
    now: number,
  ): Choice | undefined {
    const site = sites[route.provider];
    const [first] = site?.accounts ?? [];
    if (!site || !first) return undefined;
    if (site.breaker.isProbeDue(now)) probe(site, first, site.breaker);
    const trials = site.breaker.room(now, hasOther);
    if (trials === 0) return undefined;
    const laneName = laneOfModel(route.model, isFlex);
    const found = accountFor(site, laneName, hasOther, now);
    if (!found) return undefined;
    const { account, calls } = found;
    const { maxConcurrency } = site.provider;
    const gates: Gate[] = [];
    const limit = (gate: Gate, room: number) => {
      if (room === Infinity) return;
      gate.room = room;
      gates.push(gate);
    };
    limit(site.trial, trials);
    limit(account.trial, calls);
    limit(site.cap, (maxConcurrency ?? Infinity) - site.inFlight - (isLive ? 0 : site.waiting));
    return {
      upstream: upstreamOf(site, account, laneName),
      gates,
      isTrial: Math.min(trials, calls) < Infinity,
      until: now,
    };
  }

  /**
   * The first open route for a lane; if all seem closed, the first that is not closed permanently. A live call passes
   * the routes that it has tried.
   */
  function choose(laneName: string, now: number, tried?: readonly Route[]): Choice {
    divideLimits(now);
    const { model, isFlex } = readLaneName(laneName);
    const isLive = tried !== undefined;
    const ways = isLive
      ? routesFor(model).filter((way) => !tried.some((one) => isSame(one, way)))
      : routesFor(model);
    for (const route of ways) {
      const choice = open(route, { hasOther: ways.length > 1, isFlex, isLive }, now);
      if (choice) return choice;
    }
    let until = Infinity;
    for (const route of ways) {
      const only = open(route, { hasOther: false, isFlex, isLive }, now);
      if (only) return only;
      const at = sites[route.provider]?.breaker.until() ?? Infinity;
      if (at > now) until = Math.min(until, at);
    }
    return { upstream: null, gates: NO_GATES, isTrial: false, until };
  }

  /** Every route that a call of a lane may take, with its price. */
  function pricedWays(laneName: string): { way: Route; price: KnownPrice }[] {
    const now = ctx.clock.now();
    return routesFor(readLaneName(laneName).model).flatMap((way) => {
      const provider = config.providers[way.provider];
      if (!provider) return [];
      const name = `${way.provider}/${way.model}`;
      let known = prices.get(name);
      if (!known || Math.abs(now - known.at) >= PRICE_MS)
        prices.set(name, (known = { is: knownPrice(provider, way.model, now), at: now }));
      return [{ way, price: known.is }];
    });
  }

  function priceAt(upstream: Upstream): KnownPrice {
    const now = ctx.clock.now();
    if (Math.abs(now - upstream.price.at) >= PRICE_MS)
      upstream.price = { is: knownPrice(upstream.site.provider, upstream.model, now), at: now };
    return upstream.price.is;
  }

  return {
    choose,
    priceAt,
    pricedWays,
    /** Whether a call whose key was refused can take another route. */
    hasOther: (model: string, now: number) =>
      routesFor(model).some(
        (route) => open(route, { hasOther: true, isFlex: false }, now) !== undefined,
      ),
    begin(upstream: Upstream, task: number, isPatient: boolean): Begun {
      const { site, account } = upstream;
      site.inFlight++;
      const trials: Begun["trials"] = [site.breaker.start(), account.breaker.start()];
      return { upstream, task, isPatient, trials };
    },
    end(
      { upstream, task, isPatient, trials }: Begun,
      outcome: Pick<Called, "failure" | "isAbandoned">,
      now: number,
    ): void {
      const { site, account } = upstream;
      const { failure, isAbandoned } = outcome;
      // If the flex tier has no capacity, that says nothing of other calls.
      const isNothing = isAbandoned || (upstream.isFlex && failure?.cause === "overloaded");
      site.inFlight--;
      site.breaker.end(isNothing ? "nothing" : verdictOn(failure, task, isPatient), trials[0], now);
      const isRefused = failure !== null && isHalt(failure.cause);
      const onKey = isRefused ? { task, isUnreachable: false } : failure ? "nothing" : "answered";
      account.breaker.end(onKey, trials[1], now);
    },
    live: (now: number): ProviderLive[] => sites.map((site) => toLive(site, upstreams, now)),
  };
}

function isSame(a: Route, b: Route): boolean {
  return a.provider === b.provider && a.model === b.model;
}

/** If neither of two pacers has limits, the one with less to do has more room. */
function isRoomier(a: Pacer, b: Pacer, now: number): boolean {
  const [roomA, roomB] = [a.room(now), b.room(now)];
  return roomA === roomB ? a.inFlight() < b.inFlight() : roomA > roomB;
}
