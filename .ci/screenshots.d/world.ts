import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { clearAlert, raiseAlert } from "../../src/services/alerts.ts";
import { temporaryFolder } from "../../test/support/process.ts";
import { fail, hang, startProvider } from "../../test/support/provider.ts";
import { startReceiver } from "../../test/support/receiver.ts";
import { startServer, until } from "../../test/support/server.ts";
import { row, workbookOf } from "../../test/support/workbook.ts";

/** Reviews by customers in several scripts, with the answers that a model would give. */
const REVIEWS = [
  ["The kettle boils in two minutes and looks lovely.", "positive", "praises speed and looks"],
  ["Arrived with a cracked lid. The second one, too.", "negative", "arrived broken twice"],
  ["It does what it says.", "neutral", "states that it works, no more"],
  ["とても静かで、デザインも気に入っています。", "positive", "likes how quiet it is"],
  ["المقبض يسخن كثيرًا ولا أستطيع حمله.", "negative", "the handle gets hot"],
  ["Love it 😍🎉 bought a second one for my sister!", "positive", "bought it again"],
  ["Le bec verseur goutte un peu, sinon très bien.", "neutral", "drips a little, else content"],
  [
    "I wrote to the shop three times about the missing manual, and each time somebody else answered that it was on its way; after five weeks I printed it myself.",
    "negative",
    "service did not send the manual",
  ],
] as const;
const SHOPS = ["Lyon", "Osaka", "Cairo", "Leeds"] as const;

const reviewOf = (i: number): string => REVIEWS[i % REVIEWS.length]?.[0] ?? "";
const shopOf = (i: number): string => SHOPS[i % SHOPS.length] ?? "";

/** A workbook of 40 reviews. */
export function reviewsWorkbook(): Promise<Buffer> {
  const rows = Array.from({ length: 40 }, (_, i) =>
    row(i + 2, String(1001 + i), shopOf(i), reviewOf(i)),
  );
  return workbookOf([row(1, "order", "shop", "review"), ...rows].join(""));
}

/** A provider that answers for the reviews in the requested columns. From the 81st entry of a catalogue on it never answers. */
export function startReviewer() {
  return startProvider(async ({ prompt, body, earlier }, response) => {
    if (Number(/entry (\d+)/.exec(prompt)?.[1] ?? 0) > 80) await hang();
    await Bun.sleep(20);
    if (prompt.includes("manual") && prompt.includes("odd") && earlier === 0)
      return fail(response, 400, { message: "The prompt was refused by the content filter" });
    const [, feeling, reason] = REVIEWS.find(([text]) => prompt.includes(text)) ?? REVIEWS[2];
    const content = body.response_format
      ? JSON.stringify({ sentiment: feeling, reason })
      : prompt.startsWith("Answer in one word")
        ? feeling
        : `The customer sounds ${feeling}: ${reason}.`;
    return {
      id: "chatcmpl-8f2c",
      object: "chat.completion",
      created: 1_790_000_000,
      model: body.model,
      choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
      usage: { prompt_tokens: 61, completion_tokens: 18, total_tokens: 79 },
    };
  });
}

/** A server with examples of everything that the page shows. */
export async function startWorld() {
  const folder = temporaryFolder();
  const provider = await startReviewer();
  const receiver = await startReceiver();
  const broken = await startReceiver((_received, response) => response.writeHead(503).end());
  const app = await startServer({
    ...provider.env,
    ...receiver.env,
    DATA_DIR: folder.path,
    MAX_CONCURRENCY: "16",
    REQUEST_TIMEOUT_MS: "3600000",
  });
  const table = (count: number, mark: string) =>
    `order,shop,review\n${Array.from({ length: count }, (_, i) => `${1001 + i},${shopOf(i)},"${reviewOf(i)}${i % 3 === 0 ? mark : ""}"`).join("\n")}\n`;
  writeFileSync(join(app.filesDir, "reviews.csv"), table(240, " odd"));
  const output = {
    type: "object",
    properties: { sentiment: { type: "string" }, reason: { type: "string" } },
    required: ["sentiment", "reason"],
    additionalProperties: false,
  };
  await createBatches(app, output);
  const events = ["task.completed", "task.failed", "batch.completed"];
  const { body } = await app.post("/webhooks", {
    url: receiver.url,
    events,
    description: "Ticket system",
  });
  const old = await app.post("/webhooks", {
    url: broken.url,
    events,
    description: "Old importer",
  });
  await makeTraffic(app);
  await until(() => receiver.received.length >= 3 || undefined);
  // Otherwise every picture would have a message about its missing deliveries.
  await app.patch(`/webhooks/${old.body.data.id}`, { isActive: false });
  return {
    app,
    hook: body.data.id as string,
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      for (const one of [provider, receiver, broken]) await one[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

type App = Awaited<ReturnType<typeof startServer>>;

async function createBatches(app: App, output: object): Promise<void> {
  const run = async (id: string, name: string, config: object) => {
    await app.post("/batches", { id, name, inputFile: "reviews.csv", config });
    await app.post(`/batches/${id}/execute`);
  };
  const ask = "What does this customer feel? {{review}}";
  await run("reviews", "Product reviews", { promptTemplate: ask, output });
  await app.finished("reviews");
  await run("one-word", "Product reviews, in one word", {
    promptTemplate: "Answer in one word: what does this customer feel? {{review}}",
  });
  await run("again", "Product reviews, whole sentences", { promptTemplate: ask });
  await app.finished("one-word");
  await app.finished("again");
  await app.post("/batches", {
    id: "interviews",
    name: "Interviews of the spring",
    tasks: Array.from({ length: 80 }, (_, i) => ({ prompt: `Summarise interview ${i}` })),
  });
  await app.post("/batches", {
    id: "catalogue",
    name: "Catalogue translations",
    tasks: Array.from({ length: 200 }, (_, i) => ({ prompt: `Translate entry ${i}` })),
    config: { maxConcurrency: 8, maxCostUsd: 5 },
  });
  await app.post("/batches/catalogue/execute");
  await until(
    async () =>
      (await app.get("/batches/catalogue?limit=1")).body.data.progress.completed === 81 ||
      undefined,
  );
}

/** Schedules with runs, keys with budgets, tasks whose events go to webhooks, and alerts. */
async function makeTraffic(app: App): Promise<void> {
  const schedule = async (name: string, at: string, inputFile: string) =>
    (
      await app.post("/scheduled-tasks", {
        name,
        schedule: at,
        timezone: "Europe/Berlin",
        inputFile,
        outputFile: "reports/{{date}}.csv",
        config: { promptTemplate: "What does this customer feel? {{review}}" },
      })
    ).body.data.id as string;
  const morning = await schedule("Reviews of the night", "30 7 * * MON-FRI", "reviews.csv");
  const lost = await schedule("Weekly survey", "0 6 * * MON", "survey.xlsx");
  for (const id of [morning, lost]) await app.post(`/scheduled-tasks/${id}/run`);
  await app.post("/api-keys", { name: "Nightly import", monthlyBudgetUsd: 20, scopes: ["write"] });
  await app.post("/api-keys", { name: "Dashboard", scopes: ["read"], rateLimitPerMinute: 600 });
  for (const i of [1, 2, 3]) {
    await app.post("/tasks?execute=true", { id: `question-${i}`, prompt: reviewOf(i) });
    await app.ended(`question-${i}`);
  }
  const form = new FormData();
  form.append("file", new Blob([await reviewsWorkbook()]), "reviews of the spring.xlsx");
  await fetch(`${app.url}/api/v1/files`, {
    method: "POST",
    headers: { authorization: "Bearer test-key" },
    body: form,
  });
  const disk = {
    code: "disk.nearly_full",
    subject: "/data",
    message: "The disk is 96 % full",
  } as const;
  await raiseAlert(app.ctx, disk);
  await clearAlert(app.ctx, disk.code, disk.subject);
  await raiseAlert(app.ctx, {
    code: "provider.quota_exceeded",
    subject: "mistral",
    message: "The provider mistral has no credit left: top it up, and its batches go on",
  });
}
