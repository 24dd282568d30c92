import type { Clock } from "./clock.ts";
import { PROGRAM_ROOT } from "./program-root.ts";

/** A worker thread, as seen by its owner. */
export type Thread<Sent> = {
  post(message: Sent): void;
  /** Terminates it at once; its handlers are not called any more. */
  end(): void;
};

type Handlers<Received> = {
  onMessage: (message: Received) => void;
  /** Called once, if the thread ends by itself. */
  onDeath: (why: string) => void;
};

/** Starts a thread. The module that runs in it determines the types of messages, so the owner names them. */
export type StartThread = <Sent, Received>(handlers: Handlers<Received>) => Thread<Sent>;

/** Starts real worker threads that run a module of this program; `entry` is its path in the tree. */
export function workerThreads(entry: string): StartThread {
  return <Sent, Received>({ onMessage, onDeath }: Handlers<Received>): Thread<Sent> => {
    const worker = new Worker(new URL(entry, PROGRAM_ROOT), { type: "module" });
    worker.addEventListener("message", (event: MessageEvent<Received>) => onMessage(event.data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      onDeath(event.message);
    });
    worker.addEventListener("close", () => onDeath("the thread ended"));
    return { post: (message) => worker.postMessage(message), end: () => worker.terminate() };
  };
}

/** The end of a thread that confirms that it has closed what it had open. */
export function createClosing(clock: Pick<Clock, "setTimeout">, mostMs: number) {
  let onClosed: (() => void) | undefined;
  return {
    /** The thread has confirmed, or has ended by itself. */
    confirmed: () => onClosed?.(),
    /** Asks the thread to close. Resolves when it has confirmed, or after `mostMs`. */
    request(post: () => void): Promise<void> {
      return new Promise((resolve) => {
        const cancel = clock.setTimeout(resolve, mostMs);
        onClosed = () => {
          cancel();
          resolve();
        };
        post();
      });
    },
  };
}
