import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { SERVER } from "./program.ts";
import { client, KEY } from "./server.ts";

export type RunnerProcess = Awaited<ReturnType<typeof startProcess>>;

/** Starts the real program as a separate process. Resolves when it is ready or has ended. */
export async function startProcess(
  env: Record<string, string>,
  command: readonly string[] = SERVER,
) {
  const child = Bun.spawn([...command], {
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: process.env["HOME"] ?? "",
      API_KEYS: KEY,
      PORT: "0",
      WORKERS: "1",
      LOG_LEVEL: "warning",
      RATE_LIMIT_PER_MINUTE: "0",
      FAILED_LOGINS_PER_MINUTE: "0",
      MAX_STREAMS_PER_KEY: "0",
      MAX_WAITS_PER_KEY: "0",
      ...env,
    },
    stdout: "pipe",
    stderr: "pipe",
  });
  const output = { stdout: "", stderr: "" };
  const ready = Promise.withResolvers<string | undefined>();
  const reading = Promise.all([
    read(child.stdout, (text) => {
      output.stdout += text;
      const url = /(?:API|Health) +(http\S+)\/(?:api\/v1|readyz)/.exec(output.stdout)?.[1];
      if (url !== undefined) ready.resolve(url);
    }),
    read(child.stderr, (text) => (output.stderr += text)),
  ]).then(() => ready.resolve(undefined));
  const url = await ready.promise;
  return {
    child,
    output,
    url,
    ...client(url ?? "http://127.0.0.1:1"),
    async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<number> {
      child.kill(signal);
      const code = await child.exited;
      await reading;
      return code;
    },
    /** The exit code, when the process has ended by itself. */
    async exited(): Promise<number> {
      const code = await child.exited;
      await reading;
      return code;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** A folder that is deleted when the test ends. */
export function temporaryFolder() {
  const path = mkdtempSync(join(tmpdir(), "runner-process-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

async function read(
  stream: ReadableStream<Uint8Array>,
  take: (text: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
