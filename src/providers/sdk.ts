import type OpenAI from "openai";

import type { Provider } from "../domain/provider.ts";
import type { Outside } from "./outside.ts";
import { createSimulator } from "./simulator.ts";

let loaded: typeof OpenAI | undefined;

/**
 * Loads the SDK, once. This takes a tenth of a second of a core in each thread, so that a start does not wait for it.
 * If the file cannot be read at the moment, the next call tries again.
 */
export async function loadSdk(): Promise<typeof OpenAI> {
  return (loaded ??= (await import("openai")).default);
}

/**
 * The SDK's client for a provider with one of its keys, made when it is first needed. The simulator is a provider with
 * its own `fetch`.
 */
export function createClient(provider: Provider, outside: Outside, key = 0): () => Promise<OpenAI> {
  let client: OpenAI | undefined;
  return async () => (client ??= new (await loadSdk())(optionsOf(provider, outside, key)));
}

function optionsOf(
  provider: Provider,
  outside: Outside,
  key: number,
): ConstructorParameters<typeof OpenAI>[0] {
  if (provider.kind === "simulator")
    return {
      apiKey: "simulator",
      baseURL: "http://simulator.invalid/v1",
      maxRetries: 0,
      fetch: createSimulator(provider, outside),
    };
  return {
    apiKey: provider.apiKeys[key] ?? null,
    baseURL: provider.baseUrl,
    defaultHeaders: provider.headers,
    maxRetries: 0,
    fetch: (url, init) => outside.fetch(String(url), init),
  };
}
