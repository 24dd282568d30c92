import type { StartThread, Thread } from "../lib/thread.ts";

/** Starts a real worker thread that makes calls (`worker.ts`). */
export const startWorkerThread: StartThread = <Sent, Received>({
  onMessage,
  onDeath,
}: Parameters<typeof startWorkerThread<Sent, Received>>[0]): Thread<Sent> => {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  worker.addEventListener("message", (event: MessageEvent<Received>) => onMessage(event.data));
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    onDeath(event.message);
  });
  worker.addEventListener("close", () => onDeath("the thread ended"));
  return { post: (message) => worker.postMessage(message), end: () => worker.terminate() };
};
