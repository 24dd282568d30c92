import process from "node:process";
import { createInterface } from "node:readline/promises";
import { stripVTControlCharacters } from "node:util";

import { CliError, EXIT } from "./failure.ts";

/** The output of a command: data go to standard output, messages to standard error, so a pipe gets only the data. */
export type Terminal = {
  /** Resolves when the piece is written, which gives backpressure. */
  out(piece: string | Uint8Array): Promise<void>;
  /** A line for people. */
  say(line: string): void;
  /** Replaces the last drawn line; does nothing if standard error is not a terminal. */
  draw(line: string): void;
  /** Whether a user can answer questions, and lines can be replaced. */
  isInteractive: boolean;
  canDraw: boolean;
  columns(): number;
  ask(question: string, signal: AbortSignal): Promise<string>;
};

export function createTerminal(): Terminal {
  const { stdin, stdout, stderr } = process;
  let drawn = false;
  const canDraw = Boolean(stderr.isTTY) && process.env["TERM"] !== "dumb";
  endQuietlyWithoutReader();
  function clear(): void {
    if (drawn) stderr.write("\r\u001B[2K");
    drawn = false;
  }
  return {
    out: (piece) => {
      clear();
      return new Promise((resolve, reject) => {
        stdout.write(piece, (error) => (error ? reject(error) : resolve()));
      });
    },
    say(line) {
      clear();
      stderr.write(`${plainLines(line)}\n`);
    },
    draw(line) {
      if (!canDraw) return;
      stderr.write(`\r\u001B[2K${line}`);
      drawn = true;
    },
    isInteractive: Boolean(stdin.isTTY) && Boolean(stderr.isTTY),
    canDraw,
    columns: () => stderr.columns ?? 80,
    async ask(question, signal) {
      clear();
      const lines = createInterface({ input: stdin, output: stderr });
      const closed = new Promise<string>((resolve, reject) => {
        lines.once("SIGINT", reject);
        lines.once("close", () => resolve(""));
      });
      try {
        // At the end of the input there will be no answer.
        return await Promise.race([lines.question(question, { signal }), closed]);
      } catch {
        throw new CliError(EXIT.interrupted, "Interrupted; nothing was started");
      } finally {
        lines.close();
      }
    },
  };
}

/** Exits quietly if the reader closes the pipe, as `head` does. */
function endQuietlyWithoutReader(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(process.exitCode ?? EXIT.done);
      throw error;
    });
}

/** Removes control characters, so that foreign text cannot control the terminal or break a table. */
export function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return stripVTControlCharacters(text).replace(/[\u0000-\u001F\u007F-\u009F]+/g, " ");
}

/** The same for text with several lines. */
export function plainLines(text: string): string {
  return text.split("\n").map(plain).join("\n");
}
