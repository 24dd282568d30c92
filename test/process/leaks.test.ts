import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { startProcess, temporaryFolder } from "../support/process.ts";
import { startProvider } from "../support/provider.ts";
import { client } from "../support/server.ts";

const ADMIN = "planted-admin-key-4f1c";
const PROVIDER = "planted-provider-key-9a2e";
const ENCRYPTION = "planted-encryption-key-of-thirty-two-letters";
const WEBHOOK = "whsec_cGxhbnRlZC13ZWJob29rLXNlY3JldC0zMQ==";
const PROMPT = "planted-prompt-77d0";

/** The content of every file in a folder and its subfolders, as text. */
function contentsOf(folder: string): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"))
    .join("\n");
}

test("no secret of a full run is in its logs, its answers or its database, nor prompts in its logs", async () => {
  using folder = temporaryFolder();
  // A provider that echoes the key with every refusal, as some do.
  await using provider = await startProvider(({ prompt }, response) => {
    if (!prompt.includes("refuse")) return undefined;
    // A batch would be paused by a 401.
    response.writeHead(prompt.includes("batch") ? 403 : 401, {
      "content-type": "application/json",
    });
    response.end(
      JSON.stringify({ error: { message: `${PROVIDER} is not a valid key: ${PROVIDER}` } }),
    );
    return null;
  });
  await using app = await startProcess({
    DATA_DIR: folder.path,
    ...provider.env,
    API_KEYS: ADMIN,
    OPENAI_API_KEY: PROVIDER,
    ENCRYPTION_KEY: ENCRYPTION,
    LOG_LEVEL: "debug",
    FAILED_LOGINS_PER_MINUTE: "3",
  });
  const answers: string[] = [];
  const api = (key: string) => {
    const { send } = client(app.url ?? "", key);
    return async (...call: Parameters<typeof send>) => {
      const answer = await send(...call);
      answers.push(answer.text, JSON.stringify([...answer.headers]));
      return answer;
    };
  };
  const admin = client(app.url ?? "", ADMIN);
  const call = api(ADMIN);

  // Secrets that are shown once are in answers that are not searched.
  const made = (await admin.post("/api-keys", { name: "k" })).body.data;
  const rotated = (await admin.post(`/api-keys/${made.id}/rotate`)).body.data;
  const hook = await admin.post("/webhooks", {
    url: "https://hooks.example.com/x",
    events: ["task.completed"],
    secret: WEBHOOK,
  });
  expect(hook.status).toBe(201);
  await call("GET", "/webhooks");
  await call("GET", `/webhooks/${hook.body.data.id}`);

  for (const [id, prompt] of [
    ["t", PROMPT],
    ["r", `${PROMPT} refuse`],
  ] as const) {
    await call("POST", "/tasks?execute=true", { id, prompt, metadata: { note: PROMPT } });
    await admin.ended(id);
    await call("GET", `/tasks/${id}`);
    await call("GET", `/tasks/${id}/executions`);
  }
  await call("POST", "/batches", {
    id: "b",
    tasks: [{ prompt: PROMPT }, { prompt: `${PROMPT} refuse batch` }],
  });
  await call("POST", "/batches/b/execute");
  await admin.finished("b");
  await call("GET", "/batches/b/results?format=json");
  await api(made.key)("GET", "/tasks");
  await api(rotated.key)("GET", "/api-keys");
  for (let i = 0; i < 6; i++) await api(`${ADMIN}-wrong`)("GET", "/tasks");
  await call("POST", "/tasks", `{"prompt":"${PROMPT}`, { "content-type": "application/json" });
  await call("POST", "/tasks", { prompt: 7, [ADMIN.replace("planted", "field")]: PROMPT });
  await call("POST", "/batches", { inputFile: "../../../etc/passwd" });
  await call("GET", `/tasks?cursor=${encodeURIComponent("'; DROP TABLE tasks; --")}`);
  for (const path of [
    "/api-keys",
    "/audit",
    "/metrics",
    "/status",
    "/metrics/tasks",
    "/status/services/openai",
  ])
    await call("GET", path);
  for (const path of ["/", "/metrics", "/openapi.json", "/readyz?deep=1"])
    await call("GET", `${app.url}${path}`);
  expect(await app.kill("SIGTERM")).toBe(0);

  const logs = app.output.stdout + app.output.stderr;
  const keys = [ADMIN, PROVIDER, ENCRYPTION, made.key, rotated.key];
  const webhookSecrets = [
    WEBHOOK,
    WEBHOOK.slice("whsec_".length),
    Buffer.from(WEBHOOK.slice(6), "base64").toString(),
  ];
  expect(logs).toContain("/api/v1/tasks");
  const found = (text: string, words: string[]) => words.filter((word) => text.includes(word));
  expect(found(logs, [...keys, ...webhookSecrets, PROMPT])).toEqual([]);
  const said = answers.join("\n");
  expect(said).toContain("PROVIDER_UNAUTHORIZED");
  expect(found(said, [...keys, ...webhookSecrets])).toEqual([]);
  // Nor details of the host, the queries or the program.
  expect(found(said, [folder.path, process.cwd(), "SQLITE", "SELECT ", "node_modules"])).toEqual(
    [],
  );
  const stored = contentsOf(folder.path);
  expect(stored).toContain(PROMPT);
  expect(found(stored, [...keys, ...webhookSecrets])).toEqual([]);
});
