import type OpenAI from "openai";

import type { Provider } from "../domain/provider.ts";
import type { Outside } from "./outside.ts";
import { createSimulator } from "./simulator.ts";

let loading: Promise<typeof OpenAI> | undefined;

/** Loads the SDK, once. This takes a tenth of a second of a core in each thread, so that a start does not wait for it. */
export function loadSdk(): Promise<typeof OpenAI> {
  return (loading ??= import("openai").then((sdk) => sdk.default));
}

/**
 * The SDK's client for a provider with one of its keys, made when it is first needed. The simulator is a provider with
 * its own `fetch`.
 */
export function createClient(provider: Provider, outside: Outside, key = 0): () => Promise<OpenAI> {
  let client: Promise<OpenAI> | undefined;
  return () => (client ??= loadSdk().then((Sdk) => new Sdk(optionsOf(provider, outside, key))));
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
