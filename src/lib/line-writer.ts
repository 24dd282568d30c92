import { writeSync } from "node:fs";
import process from "node:process";

import type { Cancel, Clock } from "./clock.ts";

/** Takes the place of the file system in tests. */
export type Write = (fd: number, bytes: Uint8Array) => number;

export type LineWriter = {
  /** Writes a line with those of the same turn of the event loop; with `atOnce` now. */
  add(line: string, atOnce?: boolean): void;
  /** Writes what waits. */
  flush(): void;
};

/** Written without waiting for the end of the turn, so that a long one holds little. */
const MOST_WAITING = 64 * 1024;
/** While the reader of a pipe that must not block is behind. */
const FULL_PIPE_RETRY_MS = 10;
/** Of a reader that takes nothing; older lines go. */
const MOST_KEPT = 16 * 1024 * 1024;
/** At the exit there is no later; a reader gets this long. */
const LAST_WAIT_MS = 1000;

/**
 * Writes lines to a file descriptor, one system call for all of a turn: at thousands a second that
 * is half of what a line costs. Nothing is lost when the process exits or throws; what a kill takes
 * is of the turn that it interrupts.
 */
export function createLineWriter(
  fd: number,
  clock: Pick<Clock, "monotonic" | "setTimeout" | "setImmediate">,
  write: Write = writeSync,
): LineWriter {
  let lines = "";
  let rest = new Uint8Array();
  let isArmed = false;
  let cancelRetry: Cancel | undefined;

  function flush(): void {
    isArmed = false;
    if (lines === "" && rest.length === 0) return;
    const bytes = Buffer.concat([rest, Buffer.from(lines)]);
    lines = "";
    rest = bytes.subarray(writeSome(fd, bytes, write));
    if (rest.length === 0) return;
    if (rest.length > MOST_KEPT) rest = fromNextLine(rest, rest.length - MOST_KEPT);
    cancelRetry ??= clock.setTimeout(() => {
      cancelRetry = undefined;
      flush();
    }, FULL_PIPE_RETRY_MS);
  }

  process.on("exit", () => {
    const end = clock.monotonic() + LAST_WAIT_MS;
    do flush();
    while (rest.length > 0 && clock.monotonic() < end);
  });

  return {
    add(line, atOnce = false) {
      lines += `${line}\n`;
      if (atOnce || lines.length > MOST_WAITING) flush();
      else if (!isArmed) {
        isArmed = true;
        clock.setImmediate(flush);
      }
    },
    flush,
  };
}

/** How many of the bytes are done with: written, or such as nobody will ever read. */
function writeSome(fd: number, bytes: Uint8Array, write: Write): number {
  let at = 0;
  while (at < bytes.length)
    try {
      at += write(fd, bytes.subarray(at));
    } catch (error) {
      const isFull = error instanceof Error && "code" in error && error.code === "EAGAIN";
      return isFull ? at : bytes.length;
    }
  return at;
}

function fromNextLine(bytes: Uint8Array, at: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes.subarray(bytes.indexOf(10, at) + 1));
}
