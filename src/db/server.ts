import { type Client, createClient } from "@libsql/client";

import type { Clock } from "../lib/clock.ts";
import type { Outage } from "./outage.ts";
import { patientFetch } from "./patient-fetch.ts";

export type ServerOptions = {
  url: string;
  authToken: string | undefined;
  clock: Pick<Clock, "setTimeout">;
  /** What has not been answered by then has failed, and may take effect all the same. */
  deadlineMs: number;
  outage?: Outage | undefined;
};

/** Nobody waits longer for a server, however long the lease. */
const LONGEST_MS = 30_000;

/**
 * The longest that a request to a shared database may take: half of the lease. A heartbeat is due every
 * third of it, and may find another request under way on a connection that fell silent.
 */
export function deadlineUnder(leaseMs: number): number {
  return Math.min(LONGEST_MS, Math.round(leaseMs / 2));
}

/**
 * A client of a libSQL server. It speaks HTTP whatever the URL says, since nothing limits how long an
 * answer takes that comes over a WebSocket; servers that have the one have the other at the same address.
 */
export function createServerClient(options: ServerOptions): Client {
  const { url, authToken, clock, deadlineMs, outage } = options;
  return createClient({
    url: url.replace(/^ws(s?):/, "http$1:"),
    fetch: patientFetch({ clock, ms: deadlineMs, outage }),
    ...(authToken === undefined ? {} : { authToken }),
  });
}
