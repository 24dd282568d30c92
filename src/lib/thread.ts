import { PROGRAM_ROOT } from "./program-root.ts";

/** A worker thread, as whoever started it sees it. */
export type Thread<Sent> = {
  post(message: Sent): void;
  /** Ends it at once; nothing is heard of it any more. */
  end(): void;
};

type Handlers<Received> = {
  onMessage: (message: Received) => void;
  /** Called once, if the thread ends by itself. */
  onDeath: (why: string) => void;
};

/** Starts a thread. The entry that runs in it decides about the types of messages, so that its owner names them. */
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
