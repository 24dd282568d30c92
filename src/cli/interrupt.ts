import process from "node:process";

import type { Clock } from "../lib/clock.ts";
import { CliError, EXIT } from "./failure.ts";

/**
 * A second signal within this time is ignored: the terminal sends Ctrl-C to the whole process group, and `bun run`
 * passes it on once more.
 */
const SAME_SIGNAL_MS = 500;

export type Interrupt = {
  /** Aborted by the first Ctrl-C, or SIGTERM. */
  signal: AbortSignal;
  /** The exit code if the process was interrupted. */
  exit(): typeof EXIT.interrupted | typeof EXIT.terminated;
  throwIfInterrupted(): void;
  stop(): void;
};

/**
 * The first Ctrl-C aborts `signal`; a second one ends the process at once. Nothing stored is lost, and unfinished
 * work continues at the next start.
 */
export function listenForInterrupt(clock: Pick<Clock, "monotonic">): Interrupt {
  const controller = new AbortController();
  let since: number | undefined;
  let exit: typeof EXIT.interrupted | typeof EXIT.terminated = EXIT.interrupted;
  const listeners = (["SIGINT", "SIGTERM"] as const).map((name) => {
    const listener = () => {
      if (since !== undefined && clock.monotonic() - since < SAME_SIGNAL_MS) return;
      if (since !== undefined) process.exit(exit);
      since = clock.monotonic();
      exit = name === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
      controller.abort(new CliError(exit, "Interrupted"));
    };
    process.on(name, listener);
    return [name, listener] as const;
  });
  return {
    signal: controller.signal,
    exit: () => exit,
    throwIfInterrupted: () => controller.signal.throwIfAborted(),
    stop() {
      for (const [name, listener] of listeners) process.off(name, listener);
    },
  };
}

/** Resolves after `ms`, or as soon as there is an interrupt. */
export function pause(
  clock: Pick<Clock, "setTimeout">,
  ms: number,
  signal?: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = () => {
      cancel();
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.setTimeout(end, ms);
    signal?.addEventListener("abort", end);
  });
}
