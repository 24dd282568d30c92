import type { Probe } from "../../src/domain/health.ts";
import type { NodeClock } from "./node-clock.ts";
import type { AnswerPlan, FlexPlan } from "./plan.ts";
import type { Luck } from "./random.ts";
import type { Timeline } from "./timeline.ts";

/**
 * Prompts tell the provider what to do: `task|flags`. The flags are words:
 *
 *   bad        refused permanently (400)
 *   absurd     answered with a usage too large to add up
 *   unmetered  answered without a usage
 *   large      answered with more than a libSQL server accepts
 *   empty      answered without content
 *   dear       costs a dollar at the price of gpt-4
 *
 * At `DECISIONS`, answers have a usage only with the flag `metered`, and many connections break.
 */
export const FLAGS = ["bad", "absurd", "unmetered", "large", "empty", "dear"] as const;
export const DECISIONS = "/v1/decisions";
export type Flag = (typeof FLAGS)[number];

/** The prefix that replaces the task in prompts that many tasks share. */
export const ANY_TASK = "any";

/** Prompt tokens of gpt-4 that cost a dollar. */
const DOLLAR_TOKENS = 33_333;
/** The prefix of `x-request-id`, before the number of the call. */
export const REQUEST_ID = "call-";
const LARGE = "x".repeat(50_000);
/** The share of calls for decisions whose connection breaks before the answer. */
const BROKEN_DECISIONS = 0.2;

/** A state of the provider. */
export const MOODS = [
  "well",
  "slow",
  "limiting",
  "limiting with headers",
  "failing",
  "down",
  "hanging",
  "breaking streams",
  "out of quota",
  "refusing the key",
] as const;
export type Mood = (typeof MOODS)[number];

/** A call as the provider saw it. */
export type ProviderCall = {
  /** Public id of the task, as its prompt says. */
  task: string;
  model: string;
  flags: ReadonlySet<string>;
  node: number;
  at: number;
  /** When the node got the answer or gave up. `null` while in flight, and for ever if the node died. */
  endedAt: number | null;
  /** It asked for the flex tier. */
  isFlex: boolean;
  /** Its answer does not match the schema of the request. */
  isMismatched: boolean;
  /** It failed in a way that uses up one of the attempts of its run. */
  isFailedAttempt: boolean;
  outcome:
    | "answered"
    | "throttled"
    | "halted"
    | "rejected"
    | "refused"
    | "failed"
    | "aborted"
    | null;
};

export type SimulatedProvider = {
  mood: Mood;
  latencyMs: number;
  /** The chance that it has room for a flex call, 0 to 1. */
  flexRoom: number;
  calls: ProviderCall[];
  /** Called when a call arrives. */
  onCall: (call: ProviderCall) => void;
  /** Called when the answer to a call is sent. */
  onEnd: (call: ProviderCall) => void;
  /** The `fetch` of a node. */
  fetchFrom(node: {
    index: number;
    clock: NodeClock;
  }): (url: string, init?: RequestInit) => Promise<Response>;
  /** The result of a node's request for the list of models. */
  probeFrom(node: { clock: NodeClock }): Promise<Probe>;
};

/** An OpenAI-compatible provider as a state machine. */
export function createProvider(
  timeline: Timeline,
  luck: Luck,
  { answers, flex }: { answers: AnswerPlan | null; flex: FlexPlan | null },
): SimulatedProvider {
  const luckOfAnswers = luck.fork("answers");
  const luckOfFlex = luck.fork("flex");
  const luckOfDecisions = luck.fork("decisions");
  const luckOfQuota = luck.fork("quota");
  const provider: SimulatedProvider = {
    mood: "well",
    latencyMs: 50,
    flexRoom: flex?.room ?? 0,
    calls: [],
    onCall: () => {},
    onEnd: () => {},
    fetchFrom: (node) => (url, init) => answer(node, url.endsWith(DECISIONS), init),
    async probeFrom({ clock }) {
      await new Promise<void>((resolve) => void clock.arrive(5, resolve));
      const isDown = provider.mood === "down" || provider.mood === "hanging";
      return {
        at: clock.now(),
        latencyMs: 5,
        status: isDown ? null : provider.mood === "refusing the key" ? 401 : 200,
        error: isDown ? "simulated: nobody is there" : null,
      };
    },
  };

  function answer(
    { index, clock }: { index: number; clock: NodeClock },
    isDecision: boolean,
    init: RequestInit | undefined,
  ): Promise<Response> {
    // A client that has left already: `fetch` sends nothing then.
    if (init?.signal?.aborted) return Promise.reject(aborted());
    const request = JSON.parse(String(init?.body)) as Request;
    // Instructions to answer with JSON follow on separate lines, and in further messages.
    const [prompt = ""] = String(request.messages[0]?.content ?? "").split("\n");
    const [task = "", flags = ""] = prompt.split("|");
    const call: ProviderCall = {
      task,
      model: request.model,
      flags: new Set(flags.split(" ")),
      node: index,
      at: timeline.now(),
      endedAt: null,
      isFlex: request.service_tier === "flex",
      isMismatched: false,
      isFailedAttempt: false,
      outcome: null,
    };
    const requestId = `${REQUEST_ID}${provider.calls.length}`;
    provider.calls.push(call);
    provider.onCall(call);
    const end = (outcome: ProviderCall["outcome"]) => {
      call.outcome ??= outcome;
      call.endedAt ??= timeline.now();
    };
    return new Promise((resolve, reject) => {
      const { mood, latencyMs } = provider;
      const signal = init?.signal;
      signal?.addEventListener("abort", () => {
        end("aborted");
        reject(aborted());
      });
      if (mood === "hanging") return;
      // Most answers are quick, some are slow.
      const factor = (mood === "slow" ? 20 : 1) * (luck.chance(0.15) ? 20 : 1);
      const ms = luck.about(latencyMs) * factor;
      clock.arrive(ms, () => {
        if (call.outcome !== null) return;
        if (mood === "down") {
          end("failed");
          reject(Object.assign(new Error("connection refused"), { code: "ECONNREFUSED" }));
          return;
        }
        if (isDecision && luckOfDecisions.chance(BROKEN_DECISIONS)) {
          end("failed");
          reject(Object.assign(new Error("socket hang up"), { code: "ECONNRESET" }));
          return;
        }
        const { outcome, response } = respond(call, mood, request, isDecision);
        response.headers.set("x-request-id", requestId);
        end(outcome);
        provider.onEnd(call);
        resolve(response);
      });
    });
  }

  function respond(
    call: ProviderCall,
    mood: Mood,
    request: Request,
    isDecision: boolean,
  ): { outcome: ProviderCall["outcome"]; response: Response } {
    const { flags, task } = call;
    const failed = (
      outcome: ProviderCall["outcome"],
      status: number,
      code: string,
      headers = {},
    ) => ({
      outcome,
      response: refuse(status, code, headers),
    });
    if (mood === "limiting" && luck.chance(0.5))
      return failed("throttled", 429, "rate_limit_exceeded");
    if (mood === "limiting with headers" && luck.chance(0.5))
      return failed("throttled", 429, "rate_limit_exceeded", {
        "retry-after-ms": String(luck.int(1, 2000)),
      });
    if (mood === "failing" && luck.chance(0.6)) {
      const status = luck.pick([500, 502, 503, 529]);
      // The others say that nobody is there, and then a call may be a trial whose failure does not count.
      call.isFailedAttempt = status === 500;
      return failed("failed", status, "server_error");
    }
    if (mood === "out of quota")
      return failed("halted", luckOfQuota.pick([402, 429]), "insufficient_quota");
    if (mood === "refusing the key") return failed("halted", 401, "invalid_api_key");
    if (call.isFlex && !luckOfFlex.chance(provider.flexRoom))
      return failed("throttled", 429, "resource_unavailable");
    if (flags.has("bad")) return failed("rejected", 400, "invalid_request");
    if (isDecision) return { outcome: "answered", response: decided(request, flags) };
    if (request.response_format?.type === "json_schema" && answers?.takesSchemas === false)
      return failed("refused", 400, "unsupported response_format json_schema", {});
    const content = flags.has("empty")
      ? ""
      : flags.has("large")
        ? LARGE
        : isToBeObject(request)
          ? objectFor(call)
          : `re: ${task}`;
    call.isFailedAttempt = content === "";
    call.isMismatched = isToBeObject(request) && !content.startsWith('{"label":"');
    const usage = usageOf(flags);
    if (request.stream !== true)
      return { outcome: "answered", response: whole(request, content, usage) };
    const breaks = mood === "breaking streams" && luck.chance(0.5);
    call.isFailedAttempt ||= breaks;
    return {
      outcome: breaks ? "failed" : "answered",
      response: streamed(request, content, usage, breaks),
    };
  }

  function objectFor({ task }: ProviderCall): string {
    return luckOfAnswers.chance(answers?.mismatches ?? 0)
      ? luckOfAnswers.pick([`re: ${task}`, '{"lable":"x"}', '{"label":1}'])
      : JSON.stringify({ label: `re: ${task}` });
  }

  return provider;
}

function isToBeObject({ response_format, messages }: Request): boolean {
  return response_format !== undefined || /JSON Schema/.test(String(messages.at(-1)?.content));
}

type Request = {
  model: string;
  service_tier?: string;
  stream?: boolean;
  messages: { content: unknown }[];
  response_format?: { type: string };
};

function usageOf(flags: ReadonlySet<string>) {
  if (flags.has("unmetered")) return undefined;
  const prompt = flags.has("absurd") ? 1e308 : flags.has("dear") ? DOLLAR_TOKENS : 10;
  const completion = flags.has("absurd") ? 1e308 : flags.has("dear") ? 0 : 5;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
  };
}

function refuse(status: number, code: string, headers: Record<string, string>): Response {
  const error = { message: `simulated: ${code}`, type: code, param: null, code };
  return Response.json({ error }, { status, headers });
}

function decided({ model }: Request, flags: ReadonlySet<string>): Response {
  const usage = flags.has("metered") ? { usage: usageOf(flags) } : {};
  return Response.json({ id: "dec-simulated", model, decision: "approve", ...usage });
}

function whole(
  { model, service_tier }: Request,
  content: string,
  usage: object | undefined,
): Response {
  return Response.json({
    id: "chatcmpl-simulated",
    object: "chat.completion",
    created: 1,
    model,
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
    ...(usage ? { usage } : {}),
    ...(service_tier === undefined ? {} : { service_tier }),
  });
}

function streamed(
  { model, service_tier }: Request,
  content: string,
  usage: object | undefined,
  breaks: boolean,
): Response {
  const chunk = (choices: object[], more: object = {}) =>
    `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model, service_tier, choices, ...more })}\n\n`;
  const begin = chunk([{ index: 0, delta: { role: "assistant", content }, finish_reason: null }]);
  const rest = [
    chunk([{ index: 0, delta: {}, finish_reason: "stop" }]),
    chunk([], { usage: usage ?? null }),
    "data: [DONE]\n\n",
  ];
  return new Response(breaks ? begin : begin + rest.join(""), {
    headers: { "content-type": "text/event-stream" },
  });
}

/** What `fetch` rejects with when its signal is aborted. */
function aborted(): DOMException {
  return new DOMException("The operation was aborted", "AbortError");
}
