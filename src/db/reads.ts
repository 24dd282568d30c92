import type { Client } from "@libsql/client";
import { drizzle } from "drizzle-orm/libsql";

import type { Clock } from "../lib/clock.ts";
import type { StartThread } from "../lib/thread.ts";
import type { Db } from "./client.ts";
import { createReadClient, type ReadClient } from "./read-client.ts";

/** Where to read from, as plain statements or as drizzle queries. */
export type Reads = { client: Pick<Client, "execute">; db: Db };

/** Separate connections for short and for long reads, so that long ones do not delay the others. */
export type ReadPool = {
  /** For lists, counts and sums: short reads that grow with the stored data. */
  reads: Reads;
  /** For results, estimates and checks, which may read everything, a piece at a time. */
  longReads: Reads;
  stop(): Promise<void>;
};

/** Reads through the writing connection: for a libSQL server, which has threads of its own, and in the simulation. */
export function readsInPlace(reads: Reads): ReadPool {
  return { reads, longReads: reads, stop: async () => {} };
}

/** Reads a local file in two threads, so that a check of the whole database delays no list. */
export function readsInThreads(path: string, startThread: StartThread, clock: Clock): ReadPool {
  const clients = [0, 1].map(() => createReadClient(path, startThread, clock));
  const [short, long] = clients.map(toReads);
  if (!short || !long) throw new Error("there are two");
  return {
    reads: short,
    longReads: long,
    async stop() {
      await Promise.all(clients.map((client) => client.stop()));
    },
  };
}

function toReads(readClient: ReadClient): Reads {
  const unable = () => {
    throw new Error("this connection reads one statement at a time");
  };
  const client: Client = {
    protocol: "file",
    closed: false,
    execute: readClient.execute,
    batch: unable,
    migrate: unable,
    executeMultiple: unable,
    transaction: unable,
    sync: unable,
    reconnect: unable,
    close: unable,
  };
  return { client, db: drizzle({ client, casing: "snake_case" }) };
}
