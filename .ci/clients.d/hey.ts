// A dozen calls with a client of @hey-api/openapi-ts.
import { client } from "./api/client.gen.ts";
import * as api from "./api/sdk.gen.ts";
import { check, until } from "./steps.ts";

const { SERVER_URL: baseUrl = "", SERVER_KEY: key = "" } = process.env;
client.setConfig({ baseUrl, auth: () => key });

const id = "hey-1";
const made = await api.createTask({ body: { id, prompt: "Say hello." } });
check("create", made.data?.data.id === id);

const list = await api.listTasks({ query: { limit: 1, page: 1 } });
check("list", list.data?.data.tasks.length === 1 && list.data.data.pagination.limit === 1);

const ran = await api.executeTask({
  path: { id },
  headers: { prefer: "wait=20" },
  query: { isDryRun: true },
});
const task = ran.data?.data;
check("execute and wait", task !== undefined && "result" in task && !!task.result?.content);

const upload = await api.uploadFile({
  body: { file: new File(["prompt\none\ntwo\n"], "hey.csv") },
});
const inputFile = upload.data?.data.id ?? "";
const batch = await api.createBatch({ body: { id: "hey-b", inputFile } });
check("batch from an upload", batch.data?.data.taskCount === 2);
await api.executeBatch({ path: { id: "hey-b" } });
await until(async () => {
  const { data } = await api.getBatch({ path: { id: "hey-b" } });
  return data?.data.status === "completed";
});

const results = await api.getBatchResults({
  path: { id: "hey-b" },
  query: { format: "csv", safe: true },
  parseAs: "text",
});
check("results", String(results.data).split("\n").length === 4);

const missing = await api.getTask({ path: { id: "none" } });
check("404", missing.error?.error.code === "TASK_NOT_FOUND");

const twice = await api.createTask({ body: { id, prompt: "Another." } });
check("409", twice.error?.error.code === "TASK_ALREADY_EXISTS");

const wrong = await api.createTask({ body: { prompt: "" } });
check("validation error", wrong.error?.error.code === "VALIDATION_ERROR");

const status = await api.getStatus();
check("status", status.data?.data.services.database === "healthy");

const models = await api.listModels();
const prices = models.data?.data.models.map(({ price }) => price) ?? [];
check("models", prices.length > 0 && prices.every((price) => price === null || price.input >= 0));

const schedule = await api.createScheduledTask({
  body: { name: "hey", schedule: "0 9 * * *", inputFile: "hey.csv", isActive: false },
});
check("schedule", schedule.data?.data.isActive === false);
