export const HEALTH_NAMES = ["healthy", "degraded", "unhealthy"] as const;
export type Health = (typeof HEALTH_NAMES)[number];

/** What was found out about a part: `reasons` say for a person why it is not healthy. */
export type ServiceHealth = {
  status: Health;
  reasons: string[];
  details: Record<string, unknown>;
};

export const SERVICES = ["database", "openai", "scheduler", "workers", "webhooks"] as const;
export type Service = (typeof SERVICES)[number];

/** Without these nothing can be done; without the others work waits or goes untold. */
const VITAL: ReadonlySet<Service> = new Set<Service>(["database", "workers"]);

/** The health of the whole: as bad as its worst vital part, and degraded by any other that ails. */
export function overallHealth(services: Record<Service, Health>): Health {
  const ailing = SERVICES.filter((name) => services[name] !== "healthy");
  if (ailing.some((name) => VITAL.has(name) && services[name] === "unhealthy")) return "unhealthy";
  return ailing.length > 0 ? "degraded" : "healthy";
}

/** Healthy unless there are reasons. */
export function judge(
  details: Record<string, unknown>,
  found: { unhealthy?: (string | false)[]; degraded?: (string | false)[] },
): ServiceHealth {
  const fatal = (found.unhealthy ?? []).filter((reason) => reason !== false);
  const bad = (found.degraded ?? []).filter((reason) => reason !== false);
  const worst = bad.length > 0 ? "degraded" : "healthy";
  return {
    status: fatal.length > 0 ? "unhealthy" : worst,
    reasons: [...fatal, ...bad],
    details,
  };
}

/** Whether a provider answers: a real request, of a moment ago. */
export type Probe = {
  at: number;
  latencyMs: number;
  /** The answer's status, `null` where there was none. */
  status: number | null;
  /** What was wrong, for a person. */
  error: string | null;
  /** Something answers there that is no API of models, so that no call can succeed. */
  isNoApi?: boolean;
};

/** Failures that last longer than this are reported; shorter ones are the database's hiccups. */
const TOLD_AFTER_MS = 3000;

/** For a person: what keeps the engine from its work, if it has done so for a while. */
export function troubleOf(state: EngineState | undefined): string | undefined {
  const { trouble } = state ?? {};
  if (!trouble || trouble.forMs < TOLD_AFTER_MS) return undefined;
  return `${trouble.complaint} for ${Math.round(trouble.forMs / 1000)} s`;
}

/** What the engine of this process is doing. */
export type EngineState = {
  /** What fails again and again: a sentence without its full stop, and the error's message. */
  trouble: { complaint: string; why: string; forMs: number } | null;
  threads: number;
  threadsAlive: number;
  inFlight: number;
  /** Runs that are remembered anywhere; 0 when nothing runs. */
  remembered: number;
};
