/** A run of the real program from the command line. */
export type Outcome = { code: number; out: string; err: string };

export type CommandLine = {
  kill(signal: NodeJS.Signals): void;
  /** Resolves when the error output so far matches. Throws if the program ends before. */
  said(pattern: RegExp): Promise<string>;
  /** Resolves to the first group of the match when the standard output so far matches. */
  printed(pattern: RegExp): Promise<string>;
  hasPrinted(pattern: RegExp): boolean;
  ended(): Promise<Outcome>;
};

export const ENTRY = new URL("../../src/cli/main.ts", import.meta.url).pathname;

/** Starts `gptrunner …` in a folder. Its whole environment is `env`. */
export function startCommand(
  cwd: string,
  args: string[],
  {
    env = {},
    input,
    runtime = [process.execPath],
  }: { env?: Record<string, string>; input?: string; runtime?: string[] } = {},
): CommandLine {
  const child = Bun.spawn([...runtime, ENTRY, ...args], {
    cwd,
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: cwd,
      WORKERS: "1",
      RETRY_BASE_MS: "10",
      SIMULATOR_LATENCY_MS: "5",
      SHUTDOWN_GRACE_SECONDS: "1",
      ...env,
    },
    stdin: new Blob([input ?? ""]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const out = follow(child.stdout);
  const err = follow(child.stderr);
  return {
    kill: (signal) => child.kill(signal),
    said: async (pattern) => (await err.until(pattern)).input,
    printed: async (pattern) => (await out.until(pattern))[1] ?? "",
    hasPrinted: (pattern) => pattern.test(out.text()),
    async ended() {
      const code = await child.exited;
      await Promise.all([out.ended, err.ended]);
      return { code, out: out.text(), err: err.text() };
    },
  };
}

/** Reads a stream as it arrives. */
function follow(stream: ReadableStream<Uint8Array>) {
  let text = "";
  const waiting = new Set<() => void>();
  const ended = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      text += decoder.decode(chunk, { stream: true });
      for (const look of waiting) look();
    }
  })();
  return {
    text: () => text,
    ended,
    /** Resolves when the text so far matches. Throws if the stream ends before. */
    until(pattern: RegExp): Promise<RegExpExecArray> {
      const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
      const look = () => {
        const found = pattern.exec(text);
        if (found) resolve(found);
      };
      waiting.add(look);
      look();
      const fail = () => reject(new Error(`it ended without ${pattern}: ${text}`));
      ended.then(fail, reject);
      return promise.finally(() => waiting.delete(look));
    },
  };
}

export function runCommand(
  cwd: string,
  args: string[],
  options?: Parameters<typeof startCommand>[2],
): Promise<Outcome> {
  return startCommand(cwd, args, options).ended();
}
