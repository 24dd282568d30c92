import { workerThreads } from "../lib/thread.ts";

/** Starts a real worker thread that checks answers (`answer-check-worker.ts`). */
export const startCheckThread = workerThreads("src/services/answer-check-worker.ts");
