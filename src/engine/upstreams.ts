import type { Context, ProviderLive } from "../context.ts";
import { type Breaker, createBreaker, type Verdict } from "../domain/breaker.ts";
import { type Failure, isHalt, looksDown, reachedNobody } from "../domain/failure.ts";
import type { Gate } from "../domain/lanes.ts";
import { createPacer, type Pacer } from "../domain/pacer.ts";
import type { Provider, Route } from "../domain/provider.ts";
import { limitsFor, routesOf } from "../domain/routes.ts";
import type { Outcome } from "./protocol.ts";

/** A model at a provider, called with one of its keys: what limits are counted for. */
export type Upstream = Gate & {
  site: Site;
  account: Account;
  model: string;
  pacer: Pacer;
  /** The turn of which `room` is, and whether more calls would have started than it allowed. */
  turn: number;
  isShort: boolean;
  /** Tokens of the call that waits for them. */
  head: number;
  /** Tokens of recent answers, by batch: what `maxTokens` allows is seldom used up. */
  outputs: Map<number, number>;
};

/** A provider as this process sees it. */
type Site = {
  index: number;
  provider: Provider;
  breaker: Breaker;
  accounts: Account[];
  inFlight: number;
  gate: Gate;
  isPaced: boolean;
};

/** A key of a provider. Its breaker opens when the key is refused or its quota is used up. */
type Account = { key: number; breaker: Breaker; gate: Gate };

/** Where a lane's calls go now. Without an upstream, nowhere before `until`. */
export type Choice = {
  upstream: Upstream | null;
  gates: readonly Gate[];
  /** One call finds out whether its provider is there again; others go elsewhere. */
  isTrial: boolean;
  until: number;
};

/** What is told of a call when it ends. */
export type Begun = {
  upstream: Upstream;
  task: number;
  /** Its time is the program's; one that a user cut short says nothing of the provider. */
  isPatient: boolean;
  trials: [site: boolean, account: boolean];
};

export type Upstreams = ReturnType<typeof createUpstreams>;

/** A provider is unreachable after so many failures in a row (see `breaker.ts`). */
const SITE = { calls: 2, tasks: 5 };
/** A key is out after one refusal if there is another way; else its batch is paused (`halts.ts`). */
const ACCOUNT = { calls: 1, tasks: Infinity };
/** Breakers open for twice the first back-off of a retry, and at most this long. */
const LONGEST_OPEN_MS = 30_000;
const ACCOUNT_OPEN_MS = 60_000;
const NO_GATES: readonly Gate[] = [];

/**
 * Chooses where calls go: to the first provider that takes the model and can be reached, with that
 * of its keys which has most room; else to what stands in for the model. `onChange` is called when
 * a probe has found something out.
 */
export function createUpstreams(ctx: Context, onChange: () => void) {
  const { config } = ctx;
  const openMs = {
    baseMs: config.retryBaseMs * 2,
    maxMs: Math.max(config.retryBaseMs * 2, Math.min(config.retryMaxMs, LONGEST_OPEN_MS)),
  };
  const sites = config.providers.map((provider, index) => createSite(provider, index, openMs));
  const routes = new Map<string, Route[]>();
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

  function upstreamOf(site: Site, account: Account, model: string): Upstream {
    const name = `${site.index}/${account.key}/${model}`;
    let upstream = upstreams.get(name);
    if (!upstream) {
      const limits = limitsFor(site.provider, model);
      const { retryBaseMs: backoffMs, retryMaxMs: longestBackoffMs } = config;
      const pacer = createPacer({ limits, backoffMs, longestBackoffMs }, ctx.now());
      pacer.divide(parts, ctx.now());
      const fresh = { room: 0, turn: 0, isShort: false, head: 0, outputs: new Map() };
      upstream = { site, account, model, pacer, ...fresh };
      upstreams.set(name, upstream);
    }
    return upstream;
  }

  function probe(site: Site, { key, breaker }: Account, which: Breaker): void {
    which.probing();
    void ctx.probeProvider(site.index, key, 0).then(({ status }) => {
      const isThere =
        which === breaker ? status !== 401 && status !== 403 : status !== null && status < 500;
      which.probed(isThere, ctx.now());
      onChange();
    });
  }

  /** Leaves of a provider's keys those that may be used, the one with most room first. */
  function accountsOf(site: Site, model: string, hasOther: boolean, now: number): Account[] {
    const usable = site.accounts.filter((account) => {
      if (account.breaker.isProbeDue(now)) probe(site, account, account.breaker);
      account.gate.room = account.breaker.room(now, hasOther || site.accounts.length > 1);
      return account.gate.room > 0;
    });
    if (usable.length < 2) return usable;
    const roomOf = (account: Account) => {
      const { pacer } = upstreamOf(site, account, model);
      return [pacer.room(now), -pacer.inFlight()] as const;
    };
    return usable.toSorted((a, b) => {
      const [[roomA, idleA], [roomB, idleB]] = [roomOf(a), roomOf(b)];
      return roomA === roomB ? idleB - idleA : roomB - roomA;
    });
  }

  function open(route: Route, hasOther: boolean, now: number): Choice | undefined {
    const site = sites[route.provider];
    const [first] = site?.accounts ?? [];
    if (!site || !first) return undefined;
    if (site.breaker.isProbeDue(now)) probe(site, first, site.breaker);
    const trials = site.breaker.room(now, hasOther);
    if (trials === 0) return undefined;
    const [account] = accountsOf(site, route.model, hasOther, now);
    if (!account) return undefined;
    const { maxConcurrency } = site.provider;
    site.gate.room = Math.min(trials, (maxConcurrency ?? Infinity) - site.inFlight);
    return {
      upstream: upstreamOf(site, account, route.model),
      gates: [site.gate, account.gate].filter(({ room }) => room < Infinity),
      isTrial: Math.min(trials, account.gate.room) < Infinity,
      until: now,
    };
  }

  /** The first way that is open; where all seem shut, the first that is not shut for good. */
  function choose(model: string, now: number): Choice {
    divideLimits(now);
    const ways = routesFor(model);
    for (const route of ways) {
      const choice = open(route, ways.length > 1, now);
      if (choice) return choice;
    }
    let until = Infinity;
    for (const route of ways) {
      const only = open(route, false, now);
      if (only) return only;
      const at = sites[route.provider]?.breaker.until() ?? Infinity;
      if (at > now) until = Math.min(until, at);
    }
    return { upstream: null, gates: NO_GATES, isTrial: false, until };
  }

  return {
    choose,
    /** Whether a call that its key was refused for can be made in another way. */
    hasOther: (model: string, now: number) =>
      routesFor(model).some((route) => open(route, true, now) !== undefined),
    begin(upstream: Upstream, task: number, isPatient: boolean): Begun {
      const { site, account } = upstream;
      site.inFlight++;
      const trials: Begun["trials"] = [site.breaker.start(), account.breaker.start()];
      return { upstream, task, isPatient, trials };
    },
    end({ upstream, task, isPatient, trials }: Begun, outcome: Outcome, now: number): void {
      const { site, account } = upstream;
      const { failure, isAbandoned } = outcome;
      site.inFlight--;
      site.breaker.end(
        isAbandoned ? "nothing" : verdictOn(failure, task, isPatient),
        trials[0],
        now,
      );
      const isRefused = failure !== null && isHalt(failure.cause);
      const onKey = isRefused ? { task, isUnreachable: false } : failure ? "nothing" : "answered";
      account.breaker.end(onKey, trials[1], now);
    },
    live: (now: number): ProviderLive[] => sites.map((site) => toLive(site, upstreams, now)),
  };
}

/** What the end of a call says of its provider. */
function verdictOn(failure: Failure | null, task: number, isPatient: boolean): Verdict {
  if (failure === null) return "answered";
  if (failure.cause === "worker_lost") return "nothing";
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
      gate: { room: Infinity },
    })),
    inFlight: 0,
    gate: { room: Infinity },
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
    models: models.map(({ account, model, pacer, head }) => {
      const waitMs = Math.max(0, pacer.whenRoom(head, now) - now);
      return { model, key: account.key, waitMs, pacer: pacer.state(now) };
    }),
  };
}
