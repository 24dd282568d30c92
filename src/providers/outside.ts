import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";

/** Sends a request; the type of the global `fetch` without additions of a runtime. */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/** The parts of the outside world that calls to providers need. */
export type Outside = { clock: Clock; random: Random; fetch: Fetch };
