import type { Config } from "../config.ts";
import type { ProviderLive } from "../context.ts";
import { type Breaker, createBreaker, type Verdict } from "../domain/breaker.ts";
import { type Failure, isUnsent, looksDown, reachedNobody } from "../domain/failure.ts";
import type { Gate } from "../domain/lanes.ts";
import type { Pacer } from "../domain/pacer.ts";
import type { KnownPrice } from "../domain/prices.ts";
import { keysOf, type Provider } from "../domain/provider.ts";
import type { BoundedMap } from "../lib/bounded-map.ts";

/** A model at a provider, called with one of its keys: the unit that rate limits apply to. */
export type Upstream = Gate & {
  site: Site;
  account: Account;
  model: string;
  /** Calls at the flex tier have a pacer of their own. */
  isFlex: boolean;
  pacer: Pacer;
  /** The turn that `room` belongs to, and whether more calls would have started than it allowed. */
  turn: number;
  isShort: boolean;
  /** The tokens that the first waiting call needs. */
  head: number;
  /** The number of live calls that wait for it; they go before others. */
  waiting: number;
  /** Tokens of recent answers, by batch, because answers seldom use all of `maxTokens`. */
  outputs: BoundedMap<number, number>;
  /** What is known of its price, and at which time, because prices change by day and hour. */
  price: { is: KnownPrice; at: number };
};

/** A provider as this process sees it. */
export type Site = {
  index: number;
  provider: Provider;
  breaker: Breaker;
  accounts: Account[];
  inFlight: number;
  /** The number of live calls that wait for it. */
  waiting: number;
  /** Enforces its `maxConcurrency`. */
  cap: Gate;
  /** Lets one trial call through. */
  trial: Gate;
  isPaced: boolean;
};

/** A key of a provider. Its breaker opens when the key is refused or its quota is used up. */
export type Account = { key: number; breaker: Breaker; trial: Gate };

/** A provider is unreachable after this many failures in a row (see `breaker.ts`). */
const SITE = { calls: 2, tasks: 5 };
/** A key is out after one refusal if there is another route; otherwise the batch is paused (`halts.ts`). */
const ACCOUNT = { calls: 1, tasks: Infinity };
/** Breakers open for twice the first retry delay, and at most this long. */
const LONGEST_OPEN_MS = 30_000;
const ACCOUNT_OPEN_MS = 60_000;

/** The providers of the configuration, all of them reachable as far as is known. */
export function createSites(
  config: Pick<Config, "providers" | "retryBaseMs" | "retryMaxMs">,
): Site[] {
  const baseMs = config.retryBaseMs * 2;
  const openMs = { baseMs, maxMs: Math.max(baseMs, Math.min(config.retryMaxMs, LONGEST_OPEN_MS)) };
  return config.providers.map((provider, index) => createSite(provider, index, openMs));
}

function createSite(
  provider: Provider,
  index: number,
  openMs: { baseMs: number; maxMs: number },
): Site {
  const isLimited = provider.limits.some(([, { rpm, tpm }]) => rpm !== null || tpm !== null);
  return {
    index,
    provider,
    breaker: createBreaker({ ...SITE, ...openMs }),
    accounts: keysOf(provider).map((_, key) => ({
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

/** A provider in the form that is shown to users. */
export function toLive(site: Site, upstreams: Map<string, Upstream>, now: number): ProviderLive {
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

/** What the end of a call shows about its provider. */
export function verdictOn(failure: Failure | null, task: number, isPatient: boolean): Verdict {
  if (failure === null) return "answered";
  if (isUnsent(failure.cause)) return "nothing";
  if (failure.cause === "timeout" && !isPatient) return "nothing";
  return looksDown(failure.cause) ? { task, isUnreachable: reachedNobody(failure) } : "answered";
}
