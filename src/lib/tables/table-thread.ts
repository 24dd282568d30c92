import { workerThreads } from "../thread.ts";

/** Starts a real worker thread that reads tables (`table-worker.ts`). */
export const startTableThread = workerThreads("src/lib/tables/table-worker.ts");
