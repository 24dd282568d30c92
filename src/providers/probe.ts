import type { ProviderConfig } from "../config.ts";
import type { Probe } from "../domain/health.ts";
import { classifyReply, classifyThrown } from "./classify.ts";
import { createClient } from "./openai.ts";

const KEEP_MS = 30_000;
const TIMEOUT_MS = 3000;

/**
 * Asks a provider for its list of models, which costs nothing, at most every half minute, whoever
 * wants to know. A provider that has no such list (404, 405) answers all the same.
 */
export function createProbe(provider: ProviderConfig, now: () => number): () => Promise<Probe> {
  const client = createClient(
    provider.kind === "simulator" ? { ...provider, latencyMs: 0, failureRate: 0 } : provider,
  );
  let latest: Promise<Probe> | undefined;
  let askedAt = -Infinity;

  async function ask(): Promise<Probe> {
    const begun = performance.now();
    const told = (status: number | null, error: string | null): Probe => ({
      at: now(),
      latencyMs: performance.now() - begun,
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
      return told(status, classifyReply(new Response(null, { status }), "").message);
    }
  }

  return () => {
    if (!latest || now() - askedAt >= KEEP_MS) {
      askedAt = now();
      latest = ask();
    }
    return latest;
  };
}

function statusOf(error: unknown): number | undefined {
  return error instanceof Error && "status" in error && typeof error.status === "number"
    ? error.status
    : undefined;
}
