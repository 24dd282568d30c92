import { ApiError } from "./api-error.ts";
import type { Call } from "./client.ts";
import { sleep, unique } from "./machine.ts";
import type { components } from "./schemas.ts";

type Schemas = components["schemas"];

/** The rows: inline, in a file that the server can read, or those of another batch. */
export type Rows = readonly Schemas["TaskInput"][] | { inputFile: string } | { inputBatch: string };

export type RunOptions = Omit<
  Schemas["BatchCreation"],
  "tasks" | "inputFile" | "inputBatch" | "idempotencyKey"
> & {
  /** Let the simulator answer, at no cost. */
  isDryRun?: boolean;
  /** Ends the iteration; the batch continues. */
  signal?: AbortSignal;
};

/** The result of a row. `index` is its position in the input, from 0. */
export type RowResult = Schemas["TaskInBatch"] & { index: number };

export type Run = AsyncIterable<RowResult> & {
  /** The id of its batch. A later `run` with this id and the same rows continues the same batch. */
  id: string;
};

/**
 * Runs rows as a batch, and yields the result of each, in the order of the input, as soon as it and all before it
 * have ended. Nothing happens before the iteration begins. It survives broken connections and restarts of the server;
 * the batch is created with an idempotency key, so nothing is sent, or paid, twice. Throws `ApiError`, with the code
 * `BATCH_PAUSED` if the batch was paused by a cap, a budget or a client.
 */
export function runRows(call: Call, rows: Rows, options: RunOptions = {}): Run {
  const id = options.id ?? `run-${unique()}`;
  return { id, [Symbol.asyncIterator]: () => follow(call, rows, { ...options, id }) };
}

type Batch = Pick<Schemas["Batch"], "status" | "pauseReason" | "chain" | "tasks" | "pagination">;

async function* follow(
  call: Call,
  rows: Rows,
  options: RunOptions & { id: string },
): AsyncGenerator<RowResult> {
  const { id, signal } = options;
  const path = `/batches/${encodeURIComponent(id)}`;
  const read = (limit: number, cursor: string | undefined) =>
    call<Batch>("GET", path, { query: { limit, cursor }, signal });
  await start(call, rows, options);
  let cursor: string | undefined;
  for (let index = 0; ;) {
    const { tasks, pagination, chain } = await read(PAGE_ROWS, cursor);
    const ended = tasks.findIndex(({ status }) => !isFinal(status));
    const ready = ended === -1 ? tasks : tasks.slice(0, ended);
    for (const task of ready) yield { ...task, index: index++ };
    if (ended === -1 && pagination.nextCursor === null && chain?.status !== "waiting") return;
    // The cursor after a row is that of a page that ends with it.
    const last =
      ended === -1 ? pagination : ready.length > 0 && (await read(ended, cursor)).pagination;
    if (last) cursor = last.nextCursor ?? cursor;
    if (ended !== -1 || tasks.length === 0) await untilMore(() => read(1, cursor), signal);
  }
}

/** The largest page of the API. */
const PAGE_ROWS = 100;

const isFinal = (status: string) => ["completed", "failed", "cancelled"].includes(status);

const FIRST_LOOK_MS = 100;
const LONGEST_LOOK_MS = 2000;

/** Waits until the next row has ended. */
async function untilMore(look: () => Promise<Batch>, signal: AbortSignal | undefined) {
  for (let lookMs = FIRST_LOOK_MS; ; lookMs = Math.min(lookMs * 1.5, LONGEST_LOOK_MS)) {
    const { status, tasks, pauseReason, chain } = await look();
    const [next] = tasks;
    if (next ? isFinal(next.status) : isFinal(status)) return;
    if (status === "paused") throw paused(pauseReason);
    if (chain?.error) throw new ApiError(409, chain.error.code, chain.error.message);
    await sleep(lookMs, signal);
  }
}

function paused(reason: Batch["pauseReason"]): ApiError {
  const why = reason ? `${reason.code}: ${reason.message}` : "somebody has paused it";
  return new ApiError(409, "BATCH_PAUSED", `The batch is paused (${why})`, { reason });
}

/** Creates the batch, unless an earlier call has done so, and starts it. */
async function start(call: Call, rows: Rows, options: RunOptions & { id: string }): Promise<void> {
  const { isDryRun = false, signal, ...fields } = options;
  const { id } = fields;
  const path = `/batches/${encodeURIComponent(id)}`;
  const made = await call<Schemas["CreatedBatch"]>("POST", "/batches", {
    body: { ...fields, ...("inputFile" in rows || "inputBatch" in rows ? rows : { tasks: rows }) },
    headers: { "idempotency-key": id },
    isRepeatable: true,
    signal,
  });
  if (made.status !== "pending" && made.status !== "paused") return;
  const action = made.status === "pending" ? "execute" : "resume";
  try {
    await call("POST", `${path}/${action}`, {
      ...(action === "execute" ? { body: { isDryRun } } : {}),
      isRepeatable: true,
      signal,
    });
  } catch (error) {
    // The answer to an earlier attempt was lost.
    const isDone =
      error instanceof ApiError && ["BATCH_RUNNING", "BATCH_FINISHED"].includes(error.code);
    if (!isDone) throw error;
  }
}
