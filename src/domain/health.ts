export const HEALTH_NAMES = ["healthy", "degraded", "unhealthy"] as const;
export type Health = (typeof HEALTH_NAMES)[number];

/** The health of one service; `reasons` say in words why it is not healthy. */
export type ServiceHealth = {
  status: Health;
  reasons: string[];
  details: Record<string, unknown>;
};

export const SERVICES = ["database", "openai", "scheduler", "workers", "webhooks"] as const;
export type Service = (typeof SERVICES)[number];

/** Services without which the process cannot work. Without the others, work waits or is not reported. */
const VITAL: ReadonlySet<Service> = new Set<Service>(["database", "workers"]);

/** The overall health: that of the worst vital service, and at best degraded if any other service is not healthy. */
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

/** The outcome of a recent request that tested whether a provider answers. */
export type Probe = {
  at: number;
  latencyMs: number;
  /** The answer's status, `null` if there was none. */
  status: number | null;
  /** A description of the problem. */
  error: string | null;
  /** Something answers at the URL, but it is not a model API, so no call can succeed. */
  isNoApi?: boolean;
};

/** Failures that last longer than this are reported. Shorter ones are brief disturbances of the database. */
const TOLD_AFTER_MS = 3000;

/** What has kept the engine from its work for a while, in words. */
export function troubleOf(state: EngineState | undefined): string | undefined {
  const { trouble } = state ?? {};
  if (!trouble || trouble.forMs < TOLD_AFTER_MS) return undefined;
  return `${trouble.complaint} for ${Math.round(trouble.forMs / 1000)} s`;
}

/** What the engine of this process is doing. */
export type EngineState = {
  /** What fails repeatedly: a sentence without its full stop, and the error's message. */
  trouble: { complaint: string; why: string; forMs: number } | null;
  threads: number;
  threadsAlive: number;
  inFlight: number;
  /** Runs that are remembered anywhere; 0 when nothing runs. */
  remembered: number;
};
