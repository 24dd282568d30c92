import { COMMAND_LINE } from "./program.ts";

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

const environment = (cwd: string) => ({
  PATH: process.env["PATH"] ?? "",
  HOME: cwd,
  WORKERS: "1",
  RETRY_BASE_MS: "10",
  SIMULATOR_LATENCY_MS: "5",
  SHUTDOWN_GRACE_SECONDS: "1",
});

/** Starts `gptrunner …` in a folder. Its whole environment is `env`. */
export function startCommand(
  cwd: string,
  args: string[],
  {
    env = {},
    input,
    program = COMMAND_LINE,
  }: { env?: Record<string, string>; input?: string; program?: readonly string[] } = {},
): CommandLine {
  const child = Bun.spawn([...program, ...args], {
    cwd,
    env: { ...environment(cwd), ...env },
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

/**
 * Starts `gptrunner …` in a terminal of 200 columns. `said` waits for text of both outputs, which come together there.
 * `type` is what a person types: `\u0003` is Ctrl-C, `\u0004` the end of input.
 */
export function startInTerminal(cwd: string, args: string[], env: Record<string, string>) {
  const text = createTranscript();
  const decoder = new TextDecoder();
  const child = Bun.spawn([...COMMAND_LINE, ...args], {
    cwd,
    env: { ...environment(cwd), TERM: "xterm-256color", ...env },
    terminal: {
      cols: 200,
      rows: 24,
      data: (_, bytes) => text.add(decoder.decode(bytes, { stream: true })),
      exit: () => text.end(),
    },
  });
  return {
    said: async (pattern: RegExp) => (await text.until(pattern))[0],
    type: (keys: string) => child.terminal?.write(keys),
    async ended() {
      const code = await child.exited;
      child.terminal?.close();
      await text.ended;
      return { code, text: text.text() };
    },
  };
}

/** Reads a stream as it arrives. */
function follow(stream: ReadableStream<Uint8Array>) {
  const transcript = createTranscript();
  const read = async () => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) transcript.add(decoder.decode(chunk, { stream: true }));
  };
  read().then(transcript.end, transcript.fail);
  return transcript;
}

/** The output of a program so far. */
function createTranscript() {
  let text = "";
  const waiting = new Set<() => void>();
  const { promise: ended, resolve: end, reject: fail } = Promise.withResolvers<void>();
  return {
    add(piece: string) {
      text += piece;
      for (const look of waiting) look();
    },
    end: () => end(),
    fail,
    text: () => text,
    ended,
    /** Resolves when the text so far matches. Throws if the program ends before. */
    until(pattern: RegExp): Promise<RegExpExecArray> {
      const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
      const look = () => {
        const found = pattern.exec(text);
        if (found) resolve(found);
      };
      waiting.add(look);
      look();
      const miss = () => reject(new Error(`it ended without ${pattern}: ${text}`));
      ended.then(miss, reject);
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
