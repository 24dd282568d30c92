import { type InValue, LibsqlBatchError, type ResultSet } from "@libsql/client";

import type { Clock } from "../lib/clock.ts";
import { createFifo } from "../lib/fifo.ts";
import { joinTexts } from "../lib/joined-texts.ts";
import { createClosing, type StartThread, type Thread } from "../lib/thread.ts";
import type { FromCommitter, ToCommitter } from "./commit-protocol.ts";
import {
  bareResult,
  type CommitOptions,
  type LocalClient,
  type Statements,
  toPair,
} from "./local-client.ts";
import { Unreachable } from "./refusal.ts";

/** More texts than the program has; those of operators' tools and tests come on top. */
const MOST_TEXTS = 1000;
const CLOSE_MS = 5000;

export type CommitClient = Pick<LocalClient, "commitSome" | "executeMultiple"> & {
  /** Closes the thread's connection. Later writes are refused. */
  stop(): Promise<void>;
};

type Sent = { resolve: (results: ResultSet[][]) => void; reject: (error: unknown) => void };

/**
 * Commits to a local file in a thread of its own, so that neither statements nor the disk hold the event loop. If the
 * thread ends, it is unknown whether the commits that it was sent took effect, as with a server whose connection breaks;
 * the next commit starts a new thread.
 */
export function createCommitClient(
  path: string,
  startThread: StartThread,
  clock: Pick<Clock, "setTimeout">,
): CommitClient {
  const sent = createFifo<Sent>();
  const numbers = new Map<string, number>();
  let thread: Thread<ToCommitter> | undefined;
  let isStopped = false;
  const closing = createClosing(clock, CLOSE_MS);

  function start(): Thread<ToCommitter> {
    numbers.clear();
    const started = startThread<ToCommitter, FromCommitter>({
      onMessage: (message) => {
        if (started === thread) hear(message);
      },
      onDeath: (why) => {
        if (started === thread) abandon(why);
      },
    });
    started.post({ kind: "open", path });
    return started;
  }

  function hear(message: FromCommitter): void {
    if (message.kind === "closed") return closing.confirmed();
    const first = sent.shift();
    if (message.kind === "failed")
      first?.reject(new LibsqlBatchError(message.message, message.place, message.code));
    else
      first?.resolve(
        message.results.map((ofGroup) => ofGroup.map((plain) => bareResult(...plain))),
      );
  }

  function abandon(why: string): void {
    thread = undefined;
    for (let one = sent.shift(); one; one = sent.shift())
      one.reject(new Unreachable(`The thread that writes the database ended: ${why}`));
    closing.confirmed();
  }

  function send(message: () => ToCommitter): Promise<ResultSet[][]> {
    return new Promise((resolve, reject) => {
      if (isStopped)
        return reject(new LibsqlBatchError("The database is being closed", 0, "CLIENT_CLOSED"));
      thread ??= start();
      try {
        thread.post(message());
      } catch (error) {
        // The thread has not received the new texts.
        numbers.clear();
        throw error;
      }
      sent.push({ resolve, reject });
    });
  }

  /** Numbers the texts; only the new ones are sent. */
  function toCommit(groups: readonly Statements[], options: CommitOptions): ToCommitter {
    if (numbers.size >= MOST_TEXTS) numbers.clear();
    const firstText = numbers.size;
    const texts: string[] = [];
    const numberOf = (sql: string): number => {
      const known = numbers.get(sql);
      if (known !== undefined) return known;
      numbers.set(sql, firstText + texts.length);
      return firstText + texts.push(sql) - 1;
    };
    const args: (readonly InValue[])[] = [];
    const numbered = groups.map((statements) =>
      statements.map((statement) => {
        const [sql, own = []] = toPair(statement);
        if (!Array.isArray(own)) throw new TypeError("named arguments are not supported");
        args.push(own);
        return numberOf(sql);
      }),
    );
    return { kind: "commit", firstText, texts, groups: numbered, args: joinTexts(args), options };
  }

  return {
    commitSome: (groups, options) => send(() => toCommit(groups, options)),
    async executeMultiple(sql) {
      await send(() => ({ kind: "execute", sql }));
    },
    async stop() {
      isStopped = true;
      const last = thread;
      if (!last) return;
      await closing.request(() => last.post({ kind: "close" }));
      thread = undefined;
      last.end();
    },
  };
}
