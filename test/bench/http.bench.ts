import { median, printTable, round, startRunner, startScript } from "./support.ts";

const ROUNDS = 5;
const ROUND_MS = 1500;

type Target = { name: string; base: string; headers: Record<string, string>; id: string };

/** Create and get by HTTP, beside a bare handler of the same framework on the same database. */
export async function benchHttp(): Promise<void> {
  const bare = await startScript("bare-server.ts");
  const runner = await startRunner();
  const targets: Target[] = [
    { name: "bare handler", base: bare.url, headers: {}, id: "" },
    {
      name: "task runner",
      base: `${runner.url}/api/v1`,
      headers: { authorization: "Bearer bench" },
      id: "",
    },
  ];
  for (const target of targets) target.id = await createOne(target);
  const rows = [];
  for (const [operation, concurrency] of [
    ["create", 1],
    ["create", 64],
    ["get", 1],
    ["get", 64],
  ] as const) {
    const rates: number[][] = targets.map(() => []);
    // In turns, so that a drift of the machine's speed affects both equally. The first round is a warm-up.
    for (let round = 0; round <= ROUNDS; round++)
      for (const [i, target] of targets.entries()) {
        const rate = await requestsPerSecond(target, operation, concurrency);
        if (round > 0) rates[i]?.push(rate);
      }
    const [a = [], b = []] = rates;
    rows.push({
      operation,
      "at once": concurrency,
      "bare req/s": round(median(a)),
      "runner req/s": round(median(b)),
      ratio: round(median(b.map((rate, i) => rate / (a[i] ?? 1))), 2),
    });
  }
  await bare.stop();
  await runner.stop();
  printTable("Requests per second beside a bare Hono + zod-openapi + libSQL handler", rows);
}

async function requestsPerSecond(
  target: Target,
  operation: "create" | "get",
  concurrency: number,
): Promise<number> {
  const end = performance.now() + ROUND_MS;
  let done = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (performance.now() < end) {
        if (operation === "create") await createOne(target);
        else await getOne(target);
        done++;
      }
    }),
  );
  return (done / ROUND_MS) * 1000;
}

async function createOne({ base, headers }: Target): Promise<string> {
  const response = await fetch(`${base}/tasks`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: '{"prompt":"Write a haiku about programming"}',
  });
  if (response.status !== 201) throw new Error(`create answered ${response.status}`);
  const body = await response.json();
  return body.id ?? body.data.id;
}

async function getOne({ base, headers, id }: Target): Promise<void> {
  const response = await fetch(`${base}/tasks/${id}`, { headers });
  if (response.status !== 200) throw new Error(`get answered ${response.status}`);
  await response.text();
}
