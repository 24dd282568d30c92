import { workerThreads } from "../lib/thread.ts";

/** Starts a real thread that reads the database (`read-worker.ts`). */
export const startReadThread = workerThreads("src/db/read-worker.ts");
