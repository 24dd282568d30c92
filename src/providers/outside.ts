import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";

/** Sends a request; the global `fetch` but for what only a runtime adds to it. */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/** What calls to providers need of the world. */
export type Outside = { clock: Clock; random: Random; fetch: Fetch };
