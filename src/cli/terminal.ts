import process from "node:process";
import { createInterface } from "node:readline/promises";
import { stripVTControlCharacters } from "node:util";

import { CliError, EXIT } from "./failure.ts";

/**
 * What a command says: data on the standard output, everything for people beside it on the error
 * output, so that a pipe gets the data alone.
 */
export type Terminal = {
  /** Resolves when the piece is taken, so that what is large is written as fast as it is read. */
  out(piece: string | Uint8Array): Promise<void>;
  /** A line for people. */
  say(line: string): void;
  /** Replaces the line that was drawn last; nothing where the error output is no terminal. */
  draw(line: string): void;
  /** Whether a person can be asked, and sees lines being replaced. */
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
        // At the end of the input nobody answers any more.
        return await Promise.race([lines.question(question, { signal }), closed]);
      } catch {
        throw new CliError(EXIT.interrupted, "Interrupted; nothing was started");
      } finally {
        lines.close();
      }
    },
  };
}

/** A reader such as `head` that has read enough is no failure. */
function endQuietlyWithoutReader(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(process.exitCode ?? EXIT.done);
      throw error;
    });
}

/** What comes from elsewhere must not steer the terminal, or break a table. */
export function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return stripVTControlCharacters(text).replace(/[\u0000-\u001F\u007F-\u009F]+/g, " ");
}

/** The same for what has more lines than one. */
export function plainLines(text: string): string {
  return text.split("\n").map(plain).join("\n");
}
