import { type InArgs, type InStatement, LibsqlError, type ResultSet } from "@libsql/client";

import type { Clock } from "../lib/clock.ts";
import { createFifo } from "../lib/fifo.ts";
import { leaveSignal } from "../lib/leaving.ts";
import { createClosing, type StartThread, type Thread } from "../lib/thread.ts";
import { toResultSet } from "./local-client.ts";
import type { FromReader, ToReader } from "./read-protocol.ts";

/** Reads that wait for their turn; more are refused with 503. */
const MOST_WAITING = 500;
/** Time from the call to its answer. */
const TIMEOUT_MS = 30_000;
/** How often a read is tried: if the thread ended during it, the read may be the reason. */
const MOST_TRIES = 2;
const CLOSE_MS = 2000;

export type ReadClient = {
  execute(statement: InStatement, args?: InArgs): Promise<ResultSet>;
  /** Ends the thread; later reads are refused. */
  stop(): Promise<void>;
};

type Read = {
  sql: string;
  args: InArgs;
  tries: number;
  isOver: boolean;
  resolve: (result: ResultSet) => void;
  reject: (error: unknown) => void;
};

/**
 * Answers reads from a thread of its own, so that a long read delays only the other reads
 * here. The thread starts with the first read. It gets one read at a time:
 *
 *   waiting   in the queue. Left for `running`; rejected if the caller leaves, or it is not answered in time.
 *   running   in the thread. If the thread ends, the read is tried once more in a new one; if it is not
 *             answered in time, the thread is terminated and the read rejected.
 *
 * Its own errors have the code `SQLITE_BUSY`, or `CLIENT_CLOSED` once it is stopped: the statement itself
 * is not at fault.
 */
export function createReadClient(
  path: string,
  startThread: StartThread,
  clock: Pick<Clock, "setTimeout">,
  timeoutMs = TIMEOUT_MS,
): ReadClient {
  const waiting = createFifo<Read>();
  let thread: Thread<ToReader> | undefined;
  let running: { id: number; read: Read } | undefined;
  let lastId = 0;
  let isStopped = false;
  const ending = createClosing(clock, CLOSE_MS);

  function start(): Thread<ToReader> {
    const started = startThread<ToReader, FromReader>({
      onMessage: (message) => {
        if (started === thread) hear(message);
      },
      onDeath: () => {
        if (started === thread) replace();
      },
    });
    started.post({ kind: "open", path });
    return started;
  }

  function hear(message: FromReader): void {
    if (message.kind === "closed") return ending.confirmed();
    if (running?.id !== message.id) return;
    const { read } = running;
    running = undefined;
    if (message.kind === "rows") read.resolve(toResultSet(message.columns, message.rows));
    else read.reject(new LibsqlError(message.message, message.code));
    next();
  }

  /** The thread has ended, or must not be waited for. */
  function replace(): void {
    thread?.end();
    thread = undefined;
    const broken = running?.read;
    running = undefined;
    ending.confirmed();
    if (broken && !broken.isOver && broken.tries < MOST_TRIES && !isStopped) return begin(broken);
    broken?.reject(busy("The thread that reads the database ended twice over this"));
    next();
  }

  function next(): void {
    if (running) return;
    for (let read = waiting.shift(); read; read = waiting.shift())
      if (!read.isOver) return begin(read);
  }

  function begin(read: Read): void {
    read.tries++;
    running = { id: ++lastId, read };
    thread ??= start();
    thread.post({ kind: "read", id: lastId, sql: read.sql, args: read.args });
  }

  function execute(statement: InStatement, args: InArgs = []): Promise<ResultSet> {
    const sql = typeof statement === "string" ? statement : statement.sql;
    const own = typeof statement === "string" ? args : (statement.args ?? []);
    const signal = leaveSignal();
    return new Promise((resolve, reject) => {
      if (isStopped) return reject(closing());
      if (waiting.size() >= MOST_WAITING)
        return reject(busy(`${MOST_WAITING} reads of the database wait already`));
      const read: Read = {
        sql,
        args: own,
        tries: 0,
        isOver: false,
        resolve: (result) => end(() => resolve(result)),
        reject: (error) => end(() => reject(error)),
      };
      const cancel = clock.setTimeout(() => {
        read.reject(busy(`The database was not read within ${timeoutMs / 1000} s`));
        if (running?.read === read) replace();
      }, timeoutMs);
      const leave = () => read.reject(signal?.reason);
      function end(report: () => void): void {
        if (read.isOver) return;
        read.isOver = true;
        cancel();
        signal?.removeEventListener("abort", leave);
        report();
      }
      if (signal?.aborted) return leave();
      signal?.addEventListener("abort", leave);
      waiting.push(read);
      next();
    });
  }

  return {
    execute,
    async stop() {
      isStopped = true;
      for (let read = waiting.shift(); read; read = waiting.shift()) read.reject(closing());
      const last = thread;
      if (!last) return;
      await ending.request(() => last.post({ kind: "close" }));
      thread = undefined;
      last.end();
      running?.read.reject(closing());
    },
  };
}

function closing(): LibsqlError {
  return new LibsqlError("The database is being closed", "CLIENT_CLOSED");
}

function busy(message: string): LibsqlError {
  return new LibsqlError(message, "SQLITE_BUSY");
}
