import { workerThreads } from "../lib/thread.ts";

/** Starts a real worker thread that counts tokens (`token-worker.ts`). */
export const startTokenThread = workerThreads("src/providers/token-worker.ts");
