import { type Client, createClient, type InArgs, type InStatement } from "@libsql/client";

import type { Clock } from "../lib/clock.ts";
import { createSystemRandom, type Random } from "../lib/random.ts";
import { batchRequest, executeRequest, readBatch, readExecute, toStatement } from "./hrana.ts";
import type { Outage } from "./outage.ts";
import { patientFetch } from "./patient-fetch.ts";
import { isBusy } from "./refusal.ts";
import { createStreams } from "./streams.ts";

export type ServerOptions = {
  url: string;
  authToken: string | undefined;
  clock: Pick<Clock, "monotonic" | "setTimeout" | "sleep">;
  random?: Random | undefined;
  /** What has not been answered by then has failed, and may take effect all the same. */
  deadlineMs: number;
  outage?: Outage | undefined;
};

/** Nobody waits longer for a server, however long the lease. */
const LONGEST_MS = 30_000;

/** How long a transaction that found the server busy is tried again, and after what pauses, about. */
const BUSY = { mostMs: 5000, firstPauseMs: 20, longestPauseMs: 200 };

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
 * What is said often goes over connections that are kept (`streams.ts`); libSQL's own client, which
 * opens one for each request, has the rest.
 */
export function createServerClient(options: ServerOptions): Client {
  const { clock, deadlineMs, outage } = options;
  const fetch = patientFetch({ clock, ms: deadlineMs, outage });
  const address = httpAddress(options);
  const plain = createClient({ ...address, fetch });
  // So that nothing that is written waits for those who read.
  const [reads, writes] = [0, 1].map(() => createStreams({ ...address, clock, fetch }));
  if (!reads || !writes) throw new Error("there are two");
  return {
    protocol: "http",
    get closed() {
      return plain.closed;
    },
    async execute(given: InStatement, args: InArgs = []) {
      const statement = toStatement(typeof given === "string" ? [given, args] : given);
      const { sql } = statement;
      return readExecute(await reads([sql], (refer) => executeRequest(statement, refer(sql))));
    },
    async batch(given, mode = "deferred") {
      const statements = given.map(toStatement);
      const texts = statements.map(({ sql }) => sql);
      return await whileBusy(options, async () =>
        readBatch(
          await writes(texts, (refer) => batchRequest(statements, mode, refer)),
          statements.length,
        ),
      );
    },
    migrate: (statements) => plain.migrate(statements),
    transaction: plain.transaction.bind(plain),
    executeMultiple: (sql) => plain.executeMultiple(sql),
    sync: () => plain.sync(),
    reconnect: () => plain.reconnect(),
    close: () => plain.close(),
  };
}

/**
 * Tries again what found the server busy: it answers so at once while it moves its log into the database,
 * and to one of several writers that have met. Processes that met pause for different times.
 */
async function whileBusy<T>(
  { clock, deadlineMs, random = createSystemRandom() }: ServerOptions,
  work: () => Promise<T>,
): Promise<T> {
  const until = clock.monotonic() + Math.min(BUSY.mostMs, deadlineMs / 2);
  for (let pauseMs = BUSY.firstPauseMs; ; pauseMs = Math.min(BUSY.longestPauseMs, pauseMs * 2))
    try {
      return await work();
    } catch (error) {
      if (!isBusy(error) || clock.monotonic() >= until) throw error;
      await clock.sleep(pauseMs * (0.5 + random()));
    }
}

/** Where a server is by HTTP, and what opens it, which may stand in the URL. */
function httpAddress({
  url,
  authToken,
}: ServerOptions): { url: string; authToken: string } | { url: string } {
  const asked = new URL(url.replace(/^ws(s?):/, "http$1:"));
  const scheme = asked.searchParams.get("tls") === "0" ? "http:" : "https:";
  const address = new URL(asked.href.replace(/^libsql:/, scheme));
  const token = asked.searchParams.get("authToken") ?? authToken;
  address.search = "";
  return { url: address.href, ...(token === undefined ? {} : { authToken: token }) };
}

/**
 * Whether commits move the server's log into the database. On such a server several processes that write stand
 * still at times: sqld hands its lock to those that wait in their order, and one that gives up because the log is
 * being moved leaves its place in the queue behind, so that its next attempt is not woken, and nobody writes before the
 * server's limit for a transaction, five seconds.
 */
export function checkpointsInCommits(client: Pick<Client, "execute">): Promise<boolean> {
  return client.execute("PRAGMA wal_autocheckpoint").then(
    ({ rows }) => Number(rows[0]?.[0] ?? 0) > 0,
    // It is not sqld, or an outage, of which others will speak.
    () => false,
  );
}
