import { workerThreads } from "../lib/thread.ts";

/** Starts a real thread that reads the database (`read-worker.ts`). */
export const startReadThread = workerThreads("src/db/read-worker.ts");

/** Starts the thread that writes a local file (`commit-worker.ts`). */
export const startCommitThread = workerThreads("src/db/commit-worker.ts");
