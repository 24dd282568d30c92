import { setDefaultTimeout } from "bun:test";

// A bound on what hangs, far above what anything takes, on a busy machine, too.
setDefaultTimeout(30_000);
