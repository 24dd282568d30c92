import { workerThreads } from "../thread.ts";

/** Starts a real worker thread that reads tables (`table-worker.ts`). */
export const startTableThread = workerThreads(new URL("./table-worker.ts", import.meta.url));
