// A dozen calls with a client of openapi-typescript and openapi-fetch.
import createClient from "openapi-fetch";

import type { paths } from "./api.d.ts";
import { check, until } from "./steps.ts";

const { SERVER_URL: baseUrl = "", SERVER_KEY: key = "" } = process.env;
const api = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });

const id = "fetch-1";
const made = await api.POST("/api/v1/tasks", { body: { id, prompt: "Say hello." } });
check("create", made.data?.data.id === id);

const list = await api.GET("/api/v1/tasks", { params: { query: { limit: 1, page: 1 } } });
check("list", list.data?.data.tasks.length === 1 && list.data.data.pagination.limit === 1);

const ran = await api.POST("/api/v1/tasks/{id}/execute", {
  params: { path: { id }, header: { prefer: "wait=20" }, query: { isDryRun: true } },
});
const task = ran.data?.data;
check("execute and wait", task !== undefined && "result" in task && !!task.result?.content);

const form = new FormData();
form.append("file", new Blob(["prompt\none\ntwo\n"]), "fetch.csv");
const upload = await api.POST("/api/v1/files", {
  body: { file: "" },
  bodySerializer: () => form,
});
const inputFile = upload.data?.data.id ?? "";
const batch = await api.POST("/api/v1/batches", { body: { id: "fetch-b", inputFile } });
check("batch from an upload", batch.data?.data.taskCount === 2);
await api.POST("/api/v1/batches/{id}/execute", { params: { path: { id: "fetch-b" } } });
await until(async () => {
  const { data } = await api.GET("/api/v1/batches/{id}", { params: { path: { id: "fetch-b" } } });
  return data?.data.status === "completed";
});

const results = await api.GET("/api/v1/batches/{id}/results", {
  params: { path: { id: "fetch-b" }, query: { format: "csv", safe: true } },
  parseAs: "text",
});
check("results", (results.data ?? "").split("\n").length === 4);

const missing = await api.GET("/api/v1/tasks/{id}", { params: { path: { id: "none" } } });
check("404", missing.error?.error.code === "TASK_NOT_FOUND" && missing.response.status === 404);

const twice = await api.POST("/api/v1/tasks", { body: { id, prompt: "Another." } });
check("409", twice.error?.error.code === "TASK_ALREADY_EXISTS");

const wrong = await api.POST("/api/v1/tasks", { body: { prompt: "" } });
check("validation error", wrong.error?.error.code === "VALIDATION_ERROR");

const status = await api.GET("/api/v1/status");
check("status", status.data?.data.services.database === "healthy");

const models = await api.GET("/api/v1/models");
const prices = models.data?.data.models.map(({ price }) => price) ?? [];
check("models", prices.length > 0 && prices.every((price) => price === null || price.input >= 0));

const schedule = await api.POST("/api/v1/scheduled-tasks", {
  body: { name: "fetch", schedule: "0 9 * * *", inputFile: "fetch.csv", isActive: false },
});
check("schedule", schedule.data?.data.isActive === false);
