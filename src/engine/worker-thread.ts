import { workerThreads } from "../lib/thread.ts";

/** Starts a real worker thread that makes calls (`worker.ts`). */
export const startWorkerThread = workerThreads("src/engine/worker.ts");
