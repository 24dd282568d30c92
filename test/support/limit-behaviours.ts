import { type Behaviour, bucket, EPOCH_MS, type Said, window } from "./limit-world.ts";

const RATE_LIMITED = '{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}';

const refuse = (headers: Record<string, string> = {}, body = RATE_LIMITED): Said => {
  return { ok: false, headers, body };
};
const seconds = (ms: number) => String(Math.max(1, Math.ceil(ms / 1000)));
/** A spread of 100 to 500 ms, the same in each run. */
const varied = (n: number) => 100 + ((n * 7919) % 401);

/** The time that `calls` take after a burst at a constant rate. */
const paced = (calls: number, perSecond: number, burst: number) =>
  Math.max(0, (calls - burst) / perSecond) * 1000 + 300;

/** 1,000 calls with 256 slots against a bucket that says nothing but `Retry-After: 1`. */
function unannounced(limit: string, perSecond: number, atOnce: number, isSlow = false): Behaviour {
  return {
    name: `${limit}, ${atOnce} at once, answers of ${isSlow ? "1 to 5" : "0.3"} s`,
    calls: 1000,
    concurrency: 256,
    idealMs: paced(1000, perSecond, atOnce),
    latencyMs: isSlow ? (n) => 1000 + ((n * 7919) % 4001) : () => 300,
    begin() {
      const requests = bucket(perSecond, atOnce);
      return ({ at }) => (requests.take(at) ? { ok: true } : refuse({ "retry-after": "1" }));
    },
  };
}

/** Limits that are known only by refusals, from strict to generous. */
export const UNANNOUNCED: Behaviour[] = [
  unannounced("4 a second", 4, 4),
  unannounced("500 a minute", 500 / 60, 9),
  unannounced("500 a minute", 500 / 60, 50),
  unannounced("500 a minute", 500 / 60, 250),
  unannounced("20 a second", 20, 20),
  unannounced("50 a second", 50, 50),
  unannounced("50 a second", 50, 250),
  unannounced("200 a second", 200, 20),
  unannounced("200 a second", 200, 50),
  unannounced("200 a second", 200, 200),
  unannounced("200 a second", 200, 250),
  unannounced("4 a second", 4, 4, true),
  unannounced("500 a minute", 500 / 60, 50, true),
  unannounced("20 a second", 20, 20, true),
  unannounced("50 a second", 50, 50, true),
  unannounced("50 a second", 50, 250, true),
  unannounced("200 a second", 200, 200, true),
];

/** Twelve ways in which providers limit calls. Some report their limits in headers, some do not. */
export const BEHAVIOURS: Behaviour[] = [
  {
    name: "OpenAI: buckets with headers",
    calls: 1200,
    concurrency: 64,
    idealMs: paced(1200, 20, 120),
    begin() {
      const requests = bucket(20, 120);
      return ({ at }) => {
        const ok = requests.take(at);
        const missing = (120 - requests.level()) / 20;
        const headers = {
          "x-ratelimit-limit-requests": "1200",
          "x-ratelimit-remaining-requests": String(Math.floor(requests.level())),
          "x-ratelimit-reset-requests": `${missing.toFixed(3)}s`,
        };
        return ok ? { ok, headers } : refuse({ ...headers, "retry-after": "1" });
      };
    },
  },
  {
    name: "Azure: -1 and 0 in the headers, ten-second windows",
    calls: 1000,
    concurrency: 64,
    idealMs: 90_000 + 300,
    begin() {
      const tens = window(100, 10_000);
      let n = 0;
      return ({ at }) => {
        const ok = tens.take(at);
        const headers = {
          "x-ratelimit-limit-requests": n++ % 2 === 0 ? "-1" : "0",
          "x-ratelimit-remaining-requests": n % 2 === 0 ? "-1" : "0",
        };
        return ok
          ? { ok, headers }
          : refuse({ ...headers, "retry-after": seconds(tens.resetMs(at)) });
      };
    },
  },
  {
    name: "Groq: headers of the day, a limit of seconds",
    calls: 600,
    concurrency: 64,
    idealMs: paced(600, 4, 4),
    begin() {
      const real = bucket(4, 4);
      let left = 14_400;
      return ({ at }) => {
        const ok = real.take(at);
        if (ok) left--;
        const headers = {
          "x-ratelimit-limit-requests": "14400",
          "x-ratelimit-remaining-requests": String(left),
          "x-ratelimit-reset-requests": "2m59.56s",
        };
        return ok ? { ok, headers } : refuse({ ...headers, "retry-after": "1" });
      };
    },
  },
  {
    name: "enqueued tokens",
    calls: 600,
    concurrency: 64,
    tokens: 1000,
    idealMs: (600 / 20) * 300,
    begin: () => {
      return ({ inFlight }) =>
        (inFlight + 1) * 1000 <= 20_000
          ? { ok: true }
          : refuse({}, '{"error":{"message":"Enqueued token limit reached","code":"429"}}');
    },
  },
  {
    name: "a limit of calls at once",
    calls: 600,
    concurrency: 64,
    idealMs: (600 / 12) * 300,
    begin: () => {
      return ({ inFlight }) =>
        inFlight < 12
          ? { ok: true }
          : refuse({}, '{"error":{"message":"Too many concurrent requests"}}');
    },
  },
  {
    name: "minute windows that reset at once",
    calls: 2300,
    concurrency: 64,
    idealMs: 180_000 + (500 / 64) * 300,
    begin() {
      const minute = window(600, 60_000);
      return ({ at }) => {
        const ok = minute.take(at);
        const resetMs = minute.resetMs(at);
        const headers = {
          "x-ratelimit-limit-requests": "600",
          "x-ratelimit-remaining-requests": String(minute.left()),
          "x-ratelimit-reset-requests": seconds(resetMs),
        };
        return ok ? { ok, headers } : refuse({ ...headers, "retry-after": seconds(resetMs) });
      };
    },
  },
  {
    name: "a sliding window",
    calls: 2300,
    concurrency: 64,
    idealMs: 180_000 + (500 / 64) * 300,
    begin() {
      const sliding = window(600, 60_000, true);
      return ({ at }) =>
        sliding.take(at) ? { ok: true } : refuse({ "retry-after": seconds(sliding.resetMs(at)) });
    },
  },
  {
    name: "Retry-After 0",
    calls: 1000,
    concurrency: 64,
    idealMs: paced(1000, 10, 10),
    begin() {
      const real = bucket(10, 10);
      return ({ at }) => (real.take(at) ? { ok: true } : refuse({ "retry-after": "0" }));
    },
  },
  {
    name: "resets as epoch and float",
    calls: 2300,
    concurrency: 64,
    idealMs: 180_000 + (500 / 64) * 300,
    begin() {
      const minute = window(600, 60_000);
      return ({ at }) => {
        const ok = minute.take(at);
        const resetMs = minute.resetMs(at);
        const resetAt = EPOCH_MS + at + resetMs;
        // Each server has its own way. Here each minute has another.
        const resets = [
          String(Math.ceil(resetAt / 1000)),
          (resetMs / 1000).toFixed(2),
          String(Math.ceil(resetAt)),
          (resetAt / 1000).toFixed(3),
        ];
        const headers = {
          "x-ratelimit-limit-requests": "600",
          "x-ratelimit-remaining-requests": String(minute.left()),
          "x-ratelimit-reset-requests": resets[Math.floor(at / 60_000) % resets.length] ?? "",
        };
        return ok ? { ok, headers } : refuse(headers);
      };
    },
  },
  {
    name: "none at all",
    calls: 2000,
    concurrency: 256,
    latencyMs: varied,
    // The time if all slots were busy from the start, plus the end, when fewer calls are left than slots.
    idealMs: (2000 * 300) / 256 + 350,
    begin: () => () => ({ ok: true }),
  },
  {
    name: "limits of each key and of all",
    calls: 1000,
    concurrency: 64,
    keys: 2,
    idealMs: paced(1000, 8, 8),
    begin() {
      const own = [bucket(5, 5), bucket(5, 5)];
      const all = bucket(8, 8);
      return ({ at, key }) =>
        own[key]?.take(at) && all.take(at) ? { ok: true } : refuse({ "retry-after": "1" });
    },
  },
  {
    name: "a limit that shrinks",
    calls: 1000,
    concurrency: 64,
    idealMs: 30_000 + paced(1000 - 620, 5, 0),
    begin() {
      const before = bucket(20, 20);
      const after = bucket(5, 5);
      return ({ at }) =>
        (at < 30_000 ? before : after).take(at) ? { ok: true } : refuse({ "retry-after": "1" });
    },
  },
];
