/*
 * An OpenAI-compatible provider that enforces RPM and TPM with two token buckets, with a burst of a tenth of a minute. It
 * refuses further calls with 429 and a Retry-After in whole seconds. With HEADERS=1 each answer has OpenAI's rate-limit
 * headers. A model called `throttled` has a hundredth of the limits. The first word of a prompt is the number of tokens
 * of its answer. A GET returns the time and the status of each request, and clears this list unless it has `?keep`.
 */
const RPM = Number(process.env["RPM"]);
const TPM = Number(process.env["TPM"]);
const BURST = 0.1;
const LATENCY_MS = Number(process.env["LATENCY_MS"]);
const speaks = process.env["HEADERS"] === "1";

type Bucket = { perMinute: number; level: number; at: number };
export type Entry = { at: number; model: string; status: number };
let buckets = new Map<string, { requests: Bucket; tokens: Bucket }>();
let log: Entry[] = [];

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 120,
  async fetch(request) {
    if (request.method === "GET") {
      const reported = log;
      if (new URL(request.url).searchParams.has("keep")) return Response.json(reported);
      log = [];
      buckets = new Map();
      return Response.json(reported);
    }
    const body = await request.json();
    const model = String(body.model);
    const words = String(body.messages[0].content).split(" ");
    const output = Number(words[0]);
    const total = words.length + output;
    const { requests, tokens } = bucketsOf(model);
    const now = performance.now();
    refill(requests, now);
    refill(tokens, now);
    const isFree = requests.level >= 1 && tokens.level >= total;
    log.push({ at: now, model, status: isFree ? 200 : 429 });
    if (!isFree) {
      const wait = Math.max(missing(requests, 1), missing(tokens, total));
      return Response.json(
        { error: { message: "Rate limit reached", type: "requests", code: "rate_limit_exceeded" } },
        { status: 429, headers: { ...reported(), "retry-after": String(Math.ceil(wait)) } },
      );
    }
    requests.level -= 1;
    tokens.level -= total;
    const headers = reported();
    await Bun.sleep(LATENCY_MS * (0.6 + 0.8 * Math.random()));
    return Response.json(answer(model, words.length, output), { headers });

    function reported(): Record<string, string> {
      if (!speaks) return {};
      return { ...headersOf("requests", requests), ...headersOf("tokens", tokens) };
    }
  },
});
console.log(`ready http://127.0.0.1:${server.port}/v1`);

function bucketsOf(model: string) {
  let pair = buckets.get(model);
  if (!pair) {
    const share = model === "throttled" ? 0.01 : 1;
    const bucket = (limit: number) => ({
      perMinute: limit * share,
      level: limit * share * BURST,
      at: performance.now(),
    });
    buckets.set(model, (pair = { requests: bucket(RPM), tokens: bucket(TPM) }));
  }
  return pair;
}

function refill(bucket: Bucket, now: number): void {
  const flow = ((now - bucket.at) * bucket.perMinute) / 60_000;
  bucket.level = Math.min(bucket.perMinute * BURST, bucket.level + flow);
  bucket.at = now;
}

/** Seconds until the bucket has this amount. */
function missing({ level, perMinute }: Bucket, amount: number): number {
  return Math.max(0, ((amount - level) / perMinute) * 60);
}

function headersOf(kind: string, bucket: Bucket): Record<string, string> {
  return {
    [`x-ratelimit-limit-${kind}`]: String(bucket.perMinute),
    [`x-ratelimit-remaining-${kind}`]: String(Math.floor(bucket.level)),
    [`x-ratelimit-reset-${kind}`]: `${missing(bucket, bucket.perMinute * BURST).toFixed(3)}s`,
  };
}

function answer(model: string, promptTokens: number, completionTokens: number) {
  return {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1_700_000_000,
    model,
    choices: [{ index: 0, message: { role: "assistant", content: "Yes." }, finish_reason: "stop" }],
    usage: {
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    },
  };
}
