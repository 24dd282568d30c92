/** What a command line of the real program came to. */
export type Outcome = { code: number; out: string; err: string };

export type CommandLine = {
  kill(signal: NodeJS.Signals): void;
  /** Resolves when what it has said on the error output so far matches. Throws if it ends before. */
  said(pattern: RegExp): Promise<string>;
  ended(): Promise<Outcome>;
};

export const ENTRY = new URL("../../src/cli/main.ts", import.meta.url).pathname;

/** Starts `gptrunner …` in a folder, with no environment but `env`. */
export function startCommand(
  cwd: string,
  args: string[],
  { env = {}, input }: { env?: Record<string, string>; input?: string } = {},
): CommandLine {
  const child = Bun.spawn([process.execPath, ENTRY, ...args], {
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
  let err = "";
  const waiting: { pattern: RegExp; resolve: (text: string) => void }[] = [];
  const out = new Response(child.stdout).text();
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) {
      err += decoder.decode(chunk, { stream: true });
      for (const one of waiting) if (one.pattern.test(err)) one.resolve(err);
    }
  })();
  return {
    kill: (signal) => child.kill(signal),
    async said(pattern) {
      if (pattern.test(err)) return err;
      const { promise, resolve } = Promise.withResolvers<string>();
      waiting.push({ pattern, resolve });
      const end = reading.then(() => {
        throw new Error(`it ended without saying ${pattern}: ${err}`);
      });
      return Promise.race([promise, end]);
    },
    async ended() {
      const code = await child.exited;
      await reading;
      return { code, out: await out, err };
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
