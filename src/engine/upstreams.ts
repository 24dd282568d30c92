import { getLogger } from "@logtape/logtape";

import type { Context, ProviderLive } from "../context.ts";
import { type Breaker, createBreaker, type Verdict } from "../domain/breaker.ts";
import { type Failure, isHalt, isUnsent, looksDown, reachedNobody } from "../domain/failure.ts";
import { laneOfModel, readLaneName } from "../domain/flex.ts";
import type { Gate } from "../domain/lanes.ts";
import { createPacer, type Pacer } from "../domain/pacer.ts";
import { type KnownPrice, knownPrice } from "../domain/prices.ts";
import type { Provider, Route } from "../domain/provider.ts";
import { limitsFor, routesOf } from "../domain/routes.ts";
import { background } from "../lib/background.ts";
import { BoundedMap } from "../lib/bounded-map.ts";
import type { Called } from "./outcome.ts";

/** Models of providers that are known at a time; clients may invent names. */
const MOST_UPSTREAMS = 1000;
/** The number of batches whose length of answers is remembered. */
const BATCHES_REMEMBERED = 1000;

/** A model at a provider, called with one of its keys: what limits are counted for. */
export type Upstream = Gate & {
  site: Site;
  account: Account;
  model: string;
  /** At the flex tier, which has a pacer of its own. */
  isFlex: boolean;
  pacer: Pacer;
  /** The turn of which `room` is, and whether more calls would have started than it allowed. */
  turn: number;
  isShort: boolean;
  /** Tokens of the call that waits for them. */
  head: number;
  /** Live calls that wait for it, and go before others. */
  waiting: number;
  /** Tokens of recent answers, by batch: what `maxTokens` allows is seldom used up. */
  outputs: BoundedMap<number, number>;
  /** What is known of its price, as of a moment of the wall clock: prices change by the day and the hour. */
  price: { is: KnownPrice; at: number };
};

/** A provider as this process sees it. */
type Site = {
  index: number;
  provider: Provider;
  breaker: Breaker;
  accounts: Account[];
  inFlight: number;
  /** Live calls that wait for it. */
  waiting: number;
  /** Keeps to its `maxConcurrency`. */
  cap: Gate;
  /** Lets one call through that finds out whether it is there. */
  trial: Gate;
  isPaced: boolean;
};

/** A key of a provider. Its breaker opens when the key is refused or its quota is used up. */
type Account = { key: number; breaker: Breaker; trial: Gate };

/** Where a lane's calls go now. Without an upstream, nowhere before `until`. */
export type Choice = {
  upstream: Upstream | null;
  gates: readonly Gate[];
  /** One call finds out whether its provider is there again; others go elsewhere. */
  isTrial: boolean;
  until: number;
};

type Asked = { hasOther: boolean; isFlex: boolean; isLive?: boolean };

/** What is reported about a call when it ends. */
export type Begun = {
  upstream: Upstream;
  task: number;
  /** Its time is the program's; one that a user cut short says nothing of the provider. */
  isPatient: boolean;
  trials: [site: boolean, account: boolean];
};

export type Upstreams = ReturnType<typeof createUpstreams>;

/** A provider is unreachable after this many failures in a row (see `breaker.ts`). */
const SITE = { calls: 2, tasks: 5 };
/** A key is out after one refusal if there is another way; else its batch is paused (`halts.ts`). */
const ACCOUNT = { calls: 1, tasks: Infinity };
/** Breakers open for twice the first back-off of a retry, and at most this long. */
const LONGEST_OPEN_MS = 30_000;
const ACCOUNT_OPEN_MS = 60_000;
const NO_GATES: readonly Gate[] = [];
/** A price is looked up so often. */
const PRICE_MS = 60_000;

/**
 * Chooses where calls go: to the first provider that takes the model and can be reached, with that
 * of its keys which has most room; else to what stands in for the model. `onProbed` is called when
 * a probe has found something out, with what was wrong where a provider could not be reached.
 */
export function createUpstreams(
  ctx: Context,
  onProbed: (unreachable?: { provider: string; why: string }) => void,
) {
  const log = getLogger(["gptrunner", "engine"]);
  const { config } = ctx;
  const openMs = {
    baseMs: config.retryBaseMs * 2,
    maxMs: Math.max(config.retryBaseMs * 2, Math.min(config.retryMaxMs, LONGEST_OPEN_MS)),
  };
  const sites = config.providers.map((provider, index) => createSite(provider, index, openMs));
  const routes = new BoundedMap<string, Route[]>(MOST_UPSTREAMS);
  const prices = new BoundedMap<string, Upstream["price"]>(MOST_UPSTREAMS);
  const upstreams = new Map<string, Upstream>();
  /** Processes that configured limits are divided among. */
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

  /** What was learned of a model that has no calls now will be learned again. */
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
   * Of a provider's keys that may be used the one whose pacer has most room, and how many calls may
   * start with it. Where all are refused and there is no other way, one is tried all the same.
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
   * The first way that is open for a lane; where all seem shut, the first that is not shut for good. A live call
   * says which ways it has tried.
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

  /** Every way that a call of a lane may come to take, and what is known of its price. */
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
    /** Whether a call that its key was refused for can be made in another way. */
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
      // That flex has no room says nothing of other calls.
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

/** What the end of a call says of its provider. */
function verdictOn(failure: Failure | null, task: number, isPatient: boolean): Verdict {
  if (failure === null) return "answered";
  if (isUnsent(failure.cause)) return "nothing";
  if (failure.cause === "timeout" && !isPatient) return "nothing";
  return looksDown(failure.cause) ? { task, isUnreachable: reachedNobody(failure) } : "answered";
}

function createSite(
  provider: Provider,
  index: number,
  openMs: { baseMs: number; maxMs: number },
): Site {
  const keys = provider.kind === "openai" ? provider.apiKeys : [""];
  const isLimited = provider.limits.some(([, { rpm, tpm }]) => rpm !== null || tpm !== null);
  return {
    index,
    provider,
    breaker: createBreaker({ ...SITE, ...openMs }),
    accounts: keys.map((_, key) => ({
      key,
      breaker: createBreaker({ ...ACCOUNT, baseMs: openMs.baseMs, maxMs: ACCOUNT_OPEN_MS }),
      trial: { room: 1 },
    })),
    inFlight: 0,
    waiting: 0,
    cap: { room: 0 },
    trial: { room: 1 },
    isPaced: provider.kind !== "simulator" || isLimited,
  };
}

function toLive(site: Site, upstreams: Map<string, Upstream>, now: number): ProviderLive {
  const { provider, breaker, inFlight, accounts } = site;
  const models = [...upstreams.values()].filter((upstream) => upstream.site === site);
  return {
    inFlight,
    maxConcurrency: provider.maxConcurrency,
    breaker: breaker.state(now),
    openUntil: breaker.state(now) === "open" ? breaker.until() : null,
    keysOut: accounts.filter((account) => account.breaker.state(now) !== "closed").length,
    models: models.map(({ account, model, isFlex, pacer, head }) => {
      const waitMs = Math.max(0, pacer.whenRoom(head, now) - now);
      return { model, isFlex, key: account.key, waitMs, pacer: pacer.state(now) };
    }),
  };
}
