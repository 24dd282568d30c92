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
  /** A request that is not answered by then has failed, but may still take effect. */
  deadlineMs: number;
  outage?: Outage | undefined;
};

/** The longest wait for a server, however long the lease. */
const LONGEST_MS = 30_000;

/** How long a transaction is retried if the server is busy, and with which pauses, about. */
const BUSY = { mostMs: 5000, firstPauseMs: 20, longestPauseMs: 200 };

/**
 * The longest that a request to a shared database may take: half of the lease. A heartbeat is due every
 * third of it, and may find another request under way on a connection that fell silent.
 */
export function deadlineUnder(leaseMs: number): number {
  return Math.min(LONGEST_MS, Math.round(leaseMs / 2));
}

/**
 * A client of a libSQL server. It uses HTTP whatever the URL says, because an answer over a WebSocket has no time
 * limit; servers offer both at the same address. Frequent requests use connections that are kept (`streams.ts`); the
 * others use libSQL's own client, which opens one for each request.
 */
export function createServerClient(options: ServerOptions): Client {
  const { clock, deadlineMs, outage } = options;
  const fetch = patientFetch({ clock, ms: deadlineMs, outage });
  const address = httpAddress(options);
  const plain = createClient({ ...address, fetch });
  // Separate, so that writes do not wait for reads.
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
 * Retries requests that the server refuses as busy: it does so while it makes a checkpoint, and for one of several
 * concurrent writers. The pauses are random, so that these processes do not collide again.
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

/** The HTTP address of a server, and its token, which may be part of the URL. */
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
 * Whether the server makes checkpoints in commits. On such a server several writing processes can stand still for
 * seconds: sqld gives its lock to waiting writers in order, and a writer that gives up during a checkpoint stays in
 * sqld's queue. Its next attempt is then not woken, and nobody writes until the server's limit for a transaction,
 * five seconds.
 */
export function checkpointsInCommits(client: Pick<Client, "execute">): Promise<boolean> {
  return client.execute("PRAGMA wal_autocheckpoint").then(
    ({ rows }) => Number(rows[0]?.[0] ?? 0) > 0,
    // It is not sqld, or it cannot be reached, which is reported elsewhere.
    () => false,
  );
}
