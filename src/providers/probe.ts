import type { Probe } from "../domain/health.ts";
import type { Provider } from "../domain/provider.ts";
import { classifyReply, classifyThrown } from "./classify.ts";
import { createClient } from "./openai.ts";
import type { Outside } from "./outside.ts";

const TIMEOUT_MS = 3000;

/**
 * Asks a provider for its list of models, which costs nothing. What was found out less than
 * `maxAgeMs` ago is told again, whoever wants to know. A provider that has no such list (404, 405)
 * answers all the same.
 */
export function createProbe(
  provider: Provider,
  key: number,
  outside: Outside,
): (maxAgeMs: number) => Promise<Probe> {
  const { clock } = outside;
  const client = createClient(
    provider.kind === "simulator" ? { ...provider, latencyMs: 0, failureRate: 0 } : provider,
    outside,
    key,
  );
  let latest: Promise<Probe> | undefined;
  let askedAt = -Infinity;

  async function ask(): Promise<Probe> {
    const begun = clock.monotonic();
    const told = (status: number | null, error: string | null): Probe => ({
      at: clock.now(),
      latencyMs: clock.monotonic() - begun,
      status,
      error,
    });
    try {
      const { response } = await client.models.list({ timeout: TIMEOUT_MS }).withResponse();
      return told(response.status, null);
    } catch (error) {
      const status = statusOf(error);
      if (status === 404 || status === 405) return told(status, null);
      if (status === undefined) return told(null, classifyThrown(error).message);
      return told(
        status,
        classifyReply(new Response(null, { status }), "", { address: null, nowMs: clock.now() })
          .message,
      );
    }
  }

  return (maxAgeMs) => {
    if (!latest || clock.monotonic() - askedAt >= maxAgeMs) {
      askedAt = clock.monotonic();
      latest = ask();
    }
    return latest;
  };
}

/** The probes of several providers, by their place and that of the key. */
export function createProbes(
  providers: Provider[],
  outside: Outside,
): (provider: number, key: number, maxAgeMs: number) => Promise<Probe> {
  const made = new Map<string, ReturnType<typeof createProbe>>();
  return (index, key, maxAgeMs) => {
    const provider = providers[index];
    if (!provider) throw new RangeError(`there is no provider ${index}`);
    const name = `${index}/${key}`;
    let probe = made.get(name);
    if (!probe) made.set(name, (probe = createProbe(provider, key, outside)));
    return probe(maxAgeMs);
  };
}

function statusOf(error: unknown): number | undefined {
  return error instanceof Error && "status" in error && typeof error.status === "number"
    ? error.status
    : undefined;
}
