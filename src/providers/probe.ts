import type { Failure } from "../domain/failure.ts";
import type { Probe } from "../domain/health.ts";
import type { Provider } from "../domain/provider.ts";
import { isJsonObject } from "../lib/json.ts";
import {
  classifyErrorBody,
  classifyReply,
  classifyThrown,
  isNoAddress,
  isPage,
  lostAt,
  notJson,
  plainAddress,
  whyLost,
} from "./classify.ts";
import { errorIn } from "./judge.ts";
import { readLooseJson } from "./loose-json.ts";
import type { Outside } from "./outside.ts";
import { refusalText } from "./reply-bytes.ts";
import { createClient } from "./sdk.ts";
import { createSimulator } from "./simulator.ts";

const TIMEOUT_MS = 3000;
/** Where servers without a list of models take calls; some of them only make embeddings. */
const CALLS = ["/chat/completions", "/embeddings"];

/**
 * Requests a provider's list of models, which costs nothing. A result that is younger than `maxAgeMs` is returned
 * again. A provider without a list (404, 405) counts as answering, unless the URL of calls does not exist either.
 */
export function createProbe(
  provider: Provider,
  key: number,
  outside: Outside,
): (maxAgeMs: number) => Promise<Probe> {
  const { clock } = outside;
  const client = createClient(
    provider.kind === "simulator"
      ? { ...provider, latencyMs: 0, failureRate: 0, mismatchRate: 0 }
      : provider,
    outside,
    key,
  );
  let latest: Promise<Probe> | undefined;
  let askedAt = -Infinity;

  async function ask(): Promise<Probe> {
    const begun = clock.monotonic();
    const reported = (status: number | null, error: string | null, isNoApi = false): Probe => ({
      at: clock.now(),
      latencyMs: clock.monotonic() - begun,
      status,
      error,
      isNoApi,
    });
    try {
      const { url, status, text } = await send("get", "/models");
      const wrong = status < 400 ? whatIsThere(text, url) : null;
      if (wrong) return reported(status, wrong.message, true);
      if (status < 400 && hasList(text)) return reported(status, null);
      if (status >= 400 && !isNoAddress(status, text, url))
        return reported(status, complaintOf(status, url, text));
      const lost = await whyNothingAnswers(url);
      return reported(status, lost, lost !== null);
    } catch (error) {
      return reported(null, classifyThrown(error).message);
    }
  }

  /**
   * Why a server without a list of models has no endpoint for calls either; `null` if it has one. Empty requests test that
   * for free: an API refuses them.
   */
  async function whyNothingAnswers(list: string): Promise<string | null> {
    for (const path of CALLS) {
      const { url, status, text } = await send("post", path);
      if (isNoAddress(status, text, url)) continue;
      if (status >= 400 || hasAnswer(text)) return null;
      const other = whatIsThere(text, url)?.message;
      return other ?? `It answers ${plainAddress(url)} without a result; ${whyLost(url)}`;
    }
    return `Nothing answers: ${lostAt(list)}`;
  }

  async function send(method: "get" | "post", path: string) {
    const abort = new AbortController();
    const cancel = clock.setTimeout(() => abort.abort(new Error("timed out")), TIMEOUT_MS);
    try {
      const { url, req } = await (
        await client()
      ).buildRequest({
        method,
        path,
        ...(method === "post" && { body: {} }),
      });
      const reply = await fetchFor(provider)(url, { ...req, signal: abort.signal });
      return { url, status: reply.status, text: await refusalText(reply) };
    } finally {
      cancel();
    }
  }

  function fetchFor(one: Provider) {
    return one.kind === "simulator"
      ? createSimulator({ latencyMs: 0, failureRate: 0, mismatchRate: 0 }, outside)
      : outside.fetch;
  }

  return (maxAgeMs) => {
    if (!latest || clock.monotonic() - askedAt >= maxAgeMs) {
      askedAt = clock.monotonic();
      latest = ask();
    }
    return latest;
  };
}

/** The probes of several providers, by the indices of provider and key. */
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

/**
 * Detects that something other than an API answers: a web page, or a server whose success answer says that nothing is
 * there.
 */
function whatIsThere(text: string, url: string): Failure | null {
  if (isPage(text)) return notJson(text, url);
  const error = errorIn(readLooseJson(text));
  const why = error === undefined ? null : classifyErrorBody(error, url);
  return why?.cause === "not_found" ? why : null;
}

/** Whether an answer looks like a list of models, of which only the start may have been read. */
function hasList(text: string): boolean {
  return /^[\s\uFEFF]*(\[|\{.*"(data|models)")/s.test(text);
}

/** Whether a server answers even an empty request. */
function hasAnswer(text: string): boolean {
  const answer = readLooseJson(text);
  return isJsonObject(answer) && ("choices" in answer || "data" in answer || "error" in answer);
}

function complaintOf(status: number, url: string, text: string): string | null {
  if (status === 404 || status === 405) return null;
  return classifyReply(new Response(null, { status }), text, { address: url, nowMs: 0 }).message;
}
