import { workerThreads } from "../lib/thread.ts";

/** Starts a real worker thread that makes calls (`worker.ts`). */
export const startWorkerThread = workerThreads(new URL("./worker.ts", import.meta.url));
