import process from "node:process";

import { drizzle } from "drizzle-orm/libsql";

import { type Config, readConfig } from "../config.ts";
import type { Context } from "../context.ts";
import { openOutside, type OutsideDatabase, requireOwnSchema } from "../db/outside.ts";
import { readsInPlace } from "../db/reads.ts";
import { createWriter } from "../db/writer.ts";
import { CHUNKS, SERVER_CHUNKS } from "../domain/chunks.ts";
import { createSystemClock } from "../lib/clock.ts";
import { systemFiles } from "../lib/file-system.ts";
import { getGuarded } from "../lib/guarded-get.ts";
import { postGuarded } from "../lib/guarded-post.ts";
import { resolveHost } from "../lib/guarded-target.ts";
import { IDLE } from "../lib/process-load.ts";
import { createSystemRandom } from "../lib/random.ts";
import { Refused } from "../lib/start-error.ts";
import type { StartThread } from "../lib/thread.ts";
import { NO_TRACING } from "../lib/tracing.ts";
import { createContext } from "../parts.ts";

/** The arguments of an operator's command. */
export type Operator = { config: Config; database: OutsideDatabase };

/** Opens the database of the environment, and closes it when the work is done. */
export async function withDatabase<T>(
  { isLocking }: { isLocking: boolean },
  work: (operator: Operator) => Promise<T>,
): Promise<T> {
  const config = readConfig(process.env);
  const database = await openOutside({
    url: config.databaseUrl,
    authToken: config.databaseAuthToken,
    clock: createSystemClock(),
    isLocking,
  });
  try {
    return await work({ config, database });
  } finally {
    database.close();
  }
}

/** The same for a database whose schema this version knows, with the context that the services need. */
export async function withContext<T>(
  options: { isLocking: boolean },
  work: (ctx: Context, operator: Operator) => Promise<T>,
): Promise<T> {
  return withDatabase(options, async (operator) => {
    await requireOwnSchema(operator.database);
    return work(createOperatorContext(operator), operator);
  });
}

function createOperatorContext({ config, database }: Operator): Context {
  const { slowClient: client, path } = database;
  const clock = createSystemClock();
  const db = drizzle({ client, casing: "snake_case" });
  const { reads, longReads } = readsInPlace({ client, db });
  const isExclusive = path !== undefined && !database.isInUse;
  return createContext(
    config,
    {
      clock,
      random: createSystemRandom(),
      files: systemFiles,
      chunks: path === undefined ? SERVER_CHUNKS : CHUNKS,
      startThread: noThread,
      startTokenThread: noThread,
      startCheckThread: noThread,
      startTableThread: noThread,
      postWebhook: postGuarded,
      getInput: getGuarded,
      resolveHost,
    },
    { client, db, reads, longReads, writer: createWriter(client, clock), isExclusive },
    {
      tracing: NO_TRACING,
      load: IDLE,
      probeProvider: notHere,
      models: { isAllowed: notHere, lists: notHere },
    },
  );
}

const noThread: StartThread = () => notHere();

function notHere(): never {
  throw new Error("a command of the operator executes nothing");
}

/** Throws `Refused` while a server has the local file open. */
export function requireUnused({ database }: Operator, why: string): void {
  if (database.isInUse) throw new Refused(`A server is running on ${database.where}. ${why}`);
}
