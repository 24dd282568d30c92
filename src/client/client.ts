import { ApiError } from "./api-error.ts";
import { sleep, unique } from "./machine.ts";
import { type Rows, type Run, type RunOptions, runRows } from "./run.ts";
import type { components } from "./schemas.ts";
import {
  type ClientOptions,
  createSend,
  type Method,
  type RequestOptions,
  unavailable,
} from "./send.ts";

export { ApiError } from "./api-error.ts";
export type { RowResult, Rows, Run, RunOptions } from "./run.ts";
export type { ClientOptions, RequestOptions } from "./send.ts";

/** The types of the API, by their names in its OpenAPI document. */
export type Schemas = components["schemas"];

/** Sends a request and returns the data of the answer's envelope. Throws `ApiError`. */
export type Call = <T>(method: Method, path: string, options?: RequestOptions) => Promise<T>;

type Page = { limit?: number; page?: number; cursor?: string; order?: "asc" | "desc" };
type Signal = { signal?: AbortSignal };

export type Client = ReturnType<typeof createClient>;

/**
 * A client of a server. Idempotent requests without an answer are repeated for up to `patienceMs`; rate limits are
 * waited out. All methods throw `ApiError`.
 */
export function createClient(options: ClientOptions) {
  const send = createSend(options);
  const call: Call = async <T>(method: Method, path: string, request: RequestOptions = {}) => {
    const response = await send(method, path, request);
    const { data } = (await response.json().catch((error: unknown) => {
      throw unavailable(options.baseUrl, error);
    })) as { data: T };
    return data;
  };
  return {
    /** Runs rows as a batch, and yields the result of each. */
    run: (rows: Rows, runOptions?: RunOptions): Run => runRows(call, rows, runOptions),
    /** Sends one prompt, and waits for the answer. */
    ask: (task: Schemas["TaskCreation"], askOptions?: AskOptions) => ask(call, task, askOptions),
    ...calls(call),
    /** The current results of a batch, as a download. */
    results: (
      id: string,
      query: { format?: "csv" | "xlsx" | "jsonl" | "json"; status?: Schemas["TaskStatus"] } = {},
      { signal }: Signal = {},
    ): Promise<Response> => send("GET", `${batch(id)}/results`, { query, signal }),
    /** Any other operation; returns the data of its answer's envelope. Paths are relative to `/api/v1`. */
    request: call,
  };
}

const batch = (id: string) => `/batches/${encodeURIComponent(id)}`;
const schedule = (id: string) => `/scheduled-tasks/${encodeURIComponent(id)}`;

/** Operations that are one call each. */
function calls(call: Call) {
  const post = <T>(path: string, body?: object) =>
    call<T>("POST", path, body === undefined ? {} : { body });
  return {
    getTask: (id: string) => call<Schemas["Task"]>("GET", `/tasks/${encodeURIComponent(id)}`),
    createBatch: (body: Schemas["BatchCreation"]) =>
      call<Schemas["CreatedBatch"]>("POST", "/batches", {
        body,
        isRepeatable: body.idempotencyKey !== undefined,
      }),
    getBatch: (id: string, query: Page & { status?: Schemas["TaskStatus"] } = {}) =>
      call<Schemas["Batch"]>("GET", batch(id), { query }),
    listBatches: (query: Page & { status?: Schemas["BatchStatus"]; name?: string } = {}) =>
      call<Schemas["BatchPage"]>("GET", "/batches", { query }),
    estimateBatch: (id: string) => call<Schemas["BatchEstimate"]>("GET", `${batch(id)}/estimate`),
    executeBatch: (id: string, body: Schemas["BatchExecuteOptions"] = {}) =>
      post<Schemas["BatchExecutionStarted"]>(`${batch(id)}/execute`, body),
    pauseBatch: (id: string, body: Schemas["BatchPauseOptions"] = {}) =>
      post<Schemas["BatchSummary"]>(`${batch(id)}/pause`, body),
    resumeBatch: (id: string) => post<Schemas["BatchSummary"]>(`${batch(id)}/resume`),
    cancelBatch: (id: string) => post<Schemas["BatchSummary"]>(`${batch(id)}/cancel`),
    retryBatch: (id: string, body: Schemas["BatchRetryOptions"] = {}) =>
      post<Schemas["ExecutionStarted"]>(`${batch(id)}/retry`, body),
    updateBatch: (id: string, body: Schemas["BatchUpdate"]) =>
      call<Schemas["BatchSummary"]>("PATCH", batch(id), { body, isRepeatable: true }),
    deleteBatch: (id: string, query: { force?: boolean } = {}) =>
      call<void>("DELETE", batch(id), { query }),
    /** Uploads a file; batches can name its id as `inputFile`. */
    upload: (file: Blob, name: string, { signal }: Signal = {}) => {
      const body = new FormData();
      body.set("file", file, name);
      return call<Schemas["StoredFile"]>("POST", "/files", { body, signal });
    },
    models: (query: { provider?: string } = {}) =>
      call<Schemas["KnownModels"]>("GET", "/models", { query }),
    status: () => call<Schemas["SystemStatus"]>("GET", "/status"),
    listSchedules: (query: Page & { isActive?: boolean; name?: string } = {}) =>
      call<Schemas["ScheduledTaskPage"]>("GET", "/scheduled-tasks", { query }),
    createSchedule: (body: Schemas["ScheduledTaskCreation"]) =>
      post<Schemas["ScheduledTask"]>("/scheduled-tasks", body),
    updateSchedule: (id: string, body: Schemas["ScheduledTaskUpdate"]) =>
      call<Schemas["ScheduledTask"]>("PATCH", schedule(id), { body, isRepeatable: true }),
    deleteSchedule: (id: string) => call<void>("DELETE", schedule(id)),
    runSchedule: (id: string, body: Schemas["ScheduledTaskRunOptions"] = {}) =>
      post<Schemas["ScheduledTaskRun"]>(`${schedule(id)}/run`, body),
  };
}

type AskOptions = Signal & {
  /** Let the simulator answer, at no cost. */
  isDryRun?: boolean;
};

const LOOK_EVERY_MS = 500;

async function ask(
  call: Call,
  task: Schemas["TaskCreation"],
  { isDryRun = false, signal }: AskOptions = {},
): Promise<Schemas["Task"]> {
  // With its own id and idempotency key it is created once, however often it is sent.
  const id = task.id ?? `ask-${unique()}`;
  const { idempotencyKey = id } = task;
  let asked = await call<Schemas["Task"]>("POST", "/tasks", {
    query: { execute: true, isDryRun },
    body: { ...task, id, idempotencyKey },
    headers: { prefer: "wait=60" },
    isRepeatable: true,
    signal,
  });
  while (!("result" in asked) || !["completed", "failed", "cancelled"].includes(asked.status)) {
    asked = await call<Schemas["Task"]>("GET", `/tasks/${encodeURIComponent(id)}`, { signal });
    if (asked.status === "pending" || asked.status === "running")
      await sleep(LOOK_EVERY_MS, signal);
  }
  if (asked.status === "completed") return asked;
  const { code = "CANCELLED", message = `The task is ${asked.status}` } = asked.error ?? {};
  throw new ApiError(409, code, message, { taskId: id });
}
