import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { readConfig } from "../../src/config.ts";
import { configureLogging } from "../../src/logging.ts";
import { createRunner } from "../../src/runner.ts";
import { checkInvariants } from "../../src/services/health.ts";
import { putEmptyDatabase } from "./empty-database.ts";
import { startSharedThread } from "./threads.ts";

export const KEY = "test-key";

/** The result of JSON.parse: tests read any field of an answer, and a failing assertion shows what it held. */
export type Json = ReturnType<typeof JSON.parse>;

export type Answer = { status: number; headers: Headers; body: Json; text: string };

export type TestServer = Awaited<ReturnType<typeof startServer>>;

/**
 * A whole runner in this process, with its own database, files folder and port.
 * Without a provider in `env`, the simulator answers at once.
 */
export async function startServer(
  env: Record<string, string> = {},
  outside?: Parameters<typeof createRunner>[1],
) {
  await configureLogging({
    logLevel: env["LOG_LEVEL"] === "debug" ? "debug" : "error",
    logFormat: "json",
  });
  const dir = env["DATA_DIR"] ?? mkdtempSync(join(tmpdir(), "runner-"));
  if (!env["DATA_DIR"] && !env["DATABASE_URL"]) await putEmptyDatabase(dir);
  const config = readConfig({
    DATA_DIR: dir,
    API_KEYS: KEY,
    PORT: "0",
    WORKERS: "1",
    SIMULATOR_LATENCY_MS: "0",
    RETRY_BASE_MS: "1",
    RETRY_MAX_MS: "5",
    RATE_LIMIT_PER_MINUTE: "0",
    FAILED_LOGINS_PER_MINUTE: "0",
    MAX_STREAMS_PER_KEY: "0",
    MAX_WAITS_PER_KEY: "0",
    ...env,
  });
  // Separate threads for each server would take most of the time of many tests.
  const runner = await createRunner(config, {
    startReader: null,
    startCommitter: null,
    startThread: startSharedThread,
    ...outside,
  });
  await runner.start();
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request, server) =>
      runner.fetch(request, { address: () => server.requestIP(request)?.address }),
    idleTimeout: 60,
  });
  const url = `http://127.0.0.1:${server.port}`;
  return {
    url,
    dir,
    filesDir: config.filesDir,
    ctx: runner.ctx,
    runner,
    ...client(url),
    /** Stops the runner but keeps its folder, so that another runner can start on it. */
    async stop() {
      await server.stop(true);
      await runner.stop(0);
      await runner.close();
    },
    /** The counters that differ from the rows that they count. There must be none. */
    differences: () => checkInvariants(runner.ctx),
    async [Symbol.asyncDispose]() {
      await this.stop();
      if (!env["DATA_DIR"]) rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Calls to a server's API with the test key. */
export function client(url: string, key = KEY, options: BunFetchRequestInit = {}) {
  async function send(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ) {
    const response = await fetch(
      path.startsWith("/api/") || path.startsWith("http")
        ? addressOf(url, path)
        : `${url}/api/v1${path}`,
      {
        ...options,
        method,
        headers: {
          ...(key === "" ? {} : { authorization: `Bearer ${key}` }),
          ...(body === undefined || typeof body === "string" || body instanceof Uint8Array
            ? {}
            : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined
          ? {}
          : {
              body:
                typeof body === "string" || body instanceof Uint8Array
                  ? (body as BodyInit)
                  : JSON.stringify(body),
            }),
      },
    );
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: parse(text),
    } satisfies Answer;
  }
  return {
    get: (path: string, headers?: Record<string, string>) => send("GET", path, undefined, headers),
    post: (path: string, body?: unknown, headers?: Record<string, string>) =>
      send("POST", path, body, headers),
    patch: (path: string, body?: unknown) => send("PATCH", path, body),
    del: (path: string) => send("DELETE", path),
    send,
    /** The batch, when it has ended. */
    async finished(id: string): Promise<Json> {
      return until(async () => {
        const { body } = await send("GET", `/batches/${id}?limit=100`);
        return ["completed", "failed", "cancelled"].includes(body.data.status)
          ? body.data
          : undefined;
      });
    },
    /** The task, when it has ended. */
    async ended(id: string): Promise<Json> {
      return until(async () => {
        const { body } = await send("GET", `/tasks/${id}`);
        return ["completed", "failed", "cancelled"].includes(body.data.status)
          ? body.data
          : undefined;
      });
    },
  };
}

/** Repeats a query until it returns a value; gives up after 20 seconds. */
export async function until<T>(
  ask: () => Promise<T | undefined> | T | undefined,
  ms = 20_000,
): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer as T;
    if (Date.now() > end) throw new Error("it did not happen in time");
    await Bun.sleep(5);
  }
}

function addressOf(url: string, path: string): string {
  return path.startsWith("http") ? path : url + path;
}

function parse(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
