// A dozen calls with a client of orval, which uses the addresses in the document.
import * as api from "./api.ts";
import { check, until } from "./steps.ts";

const { SERVER_URL: baseUrl = "", SERVER_KEY: key = "" } = process.env;
const send = globalThis.fetch;
globalThis.fetch = ((path: string, init: RequestInit = {}) => {
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${key}`);
  return send(new URL(path, baseUrl), { ...init, headers });
}) as typeof fetch;

const id = "orval-1";
const made = await api.createTask({ id, prompt: "Say hello." });
check("create", made.status === 201 && made.data.data.id === id);

const list = await api.listTasks({ limit: 1, page: 1 });
check("list", list.status === 200 && list.data.data.tasks.length === 1);

const ran = await api.executeTask(id, {}, { isDryRun: true }, { headers: { prefer: "wait=20" } });
const task = ran.status === 200 ? ran.data.data : undefined;
check("execute and wait", task !== undefined && "result" in task && !!task.result?.content);

const upload = await api.uploadFile({ file: new File(["prompt\none\ntwo\n"], "orval.csv") });
const inputFile = upload.status === 201 ? upload.data.data.id : "";
const batch = await api.createBatch({ id: "orval-b", inputFile });
check("batch from an upload", batch.status === 201 && batch.data.data.taskCount === 2);
await api.executeBatch("orval-b", {});
await until(async () => {
  const answer = await api.getBatch("orval-b");
  return answer.status === 200 && answer.data.data.status === "completed";
});

const results = await api.getBatchResults("orval-b", { format: "json", safe: true });
// One of the possible types is a file, so the client always returns a file.
const came: unknown = results.data;
const rows: unknown = came instanceof Blob ? JSON.parse(await came.text()) : came;
check("results", Array.isArray(rows) && rows.length === 2);

const missing = await api.getTask("none");
check("404", missing.status === 404 && missing.data.error.code === "TASK_NOT_FOUND");

const twice = await api.createTask({ id, prompt: "Another." });
check("409", twice.status === 409 && twice.data.error.code === "TASK_ALREADY_EXISTS");

const wrong = await api.createTask({ prompt: "" });
check("validation error", wrong.status === 400 && wrong.data.error.code === "VALIDATION_ERROR");

const status = await api.getStatus();
check("status", status.status === 200 && status.data.data.services.database === "healthy");

const models = await api.listModels();
const prices = models.status === 200 ? models.data.data.models.map(({ price }) => price) : [];
check("models", prices.length > 0 && prices.every((price) => price === null || price.input >= 0));

const schedule = await api.createScheduledTask({
  name: "orval",
  schedule: "0 9 * * *",
  inputFile: "orval.csv",
  isActive: false,
});
check("schedule", schedule.status === 201 && schedule.data.data.isActive === false);
