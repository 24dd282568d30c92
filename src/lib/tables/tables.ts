import type { Cancel, Clock } from "../clock.ts";
import { createFifo } from "../fifo.ts";
import type { StartThread, Thread } from "../thread.ts";
import type { FromTableThread, ToTableThread } from "./table-protocol.ts";
import { type Cell, TableFileError, type TableFound, type TableSource } from "./table.ts";

/** How many tables are read at a time; others wait. Each may need some hundred megabytes. */
const MOST_THREADS = 2;
/** The longest that a thread may take for the next rows. One that is stuck is terminated, and its file refused. */
const STEP_MS = 120_000;
/** An idle thread is kept this long, for the second reading of the same file. */
const IDLE_MS = 5000;

/** Reads tables in binary files, in threads of their own. */
export type Tables = {
  /**
   * The rows of a table in portions. `onEnd` gets the findings after the last row. The file is read only as fast as the
   * rows are consumed. Throws `TableFileError` if the file is not a valid table.
   */
  read(source: TableSource, onEnd: (found: TableFound) => void): AsyncGenerator<Cell[][]>;
  /** Ends the threads. */
  stop(): void;
};

type Reader = {
  ask(message: ToTableThread): Promise<FromTableThread>;
  report(message: ToTableThread): void;
  end(): void;
};

/*
 * A thread reads one table at a time. Free: it takes the next reading that waits, or is ended after a
 * while. Busy: it answers each question; when the reading ends, by itself or because nobody wants more,
 * it is free again. After a death, a failure or a step that takes too long it is ended, and the reading fails.
 */
export function createTables({
  clock,
  startThread,
}: {
  clock: Pick<Clock, "setTimeout">;
  startThread: StartThread;
}): Tables {
  const free: { reader: Reader; cancel: Cancel }[] = [];
  const busy = new Set<Reader>();
  const waiting = createFifo<() => void>();
  let taken = 0;

  async function take(): Promise<Reader> {
    // A place that becomes free goes to the next waiting reading.
    if (taken >= MOST_THREADS) await new Promise<void>((resolve) => waiting.push(resolve));
    else taken++;
    const idle = free.pop();
    idle?.cancel();
    const reader = idle?.reader ?? startReader(clock, startThread);
    busy.add(reader);
    return reader;
  }

  function release(reader: Reader, isUsable: boolean): void {
    busy.delete(reader);
    if (isUsable) {
      const cancel = clock.setTimeout(() => {
        free.splice(
          free.findIndex((one) => one.reader === reader),
          1,
        );
        reader.end();
      }, IDLE_MS);
      free.push({ reader, cancel });
    } else reader.end();
    const next = waiting.shift();
    if (next) next();
    else taken--;
  }

  return {
    async *read(source, onEnd) {
      const reader = await take();
      let isUsable = false;
      reader.report({ kind: "open", source });
      let next = askForMore(reader);
      try {
        for (;;) {
          const answer = await next;
          if (answer.kind === "rows") {
            // The next rows are read while these are processed.
            next = askForMore(reader);
            yield answer.rows;
          } else if (answer.kind === "failed") throw failureOf(answer);
          else {
            if (answer.kind === "end") onEnd(answer.found);
            break;
          }
        }
      } finally {
        isUsable = await next
          .then(() => reader.ask({ kind: "close" }))
          .then(
            () => true,
            () => false,
          );
        release(reader, isUsable);
      }
    },
    stop() {
      for (const { reader, cancel } of free) {
        cancel();
        reader.end();
      }
      for (const reader of busy) reader.end();
      free.length = 0;
    },
  };
}

/** Its failure is handled by the caller that awaits it, possibly later. */
function askForMore(reader: Reader): Promise<FromTableThread> {
  const answer = reader.ask({ kind: "next" });
  answer.catch(() => undefined);
  return answer;
}

function failureOf({ message, isRefusal, code }: FromTableThread & { kind: "failed" }): Error {
  if (isRefusal) return new TableFileError(message);
  const error = new Error(message);
  return code === undefined ? error : Object.assign(error, { code });
}

function startReader(clock: Pick<Clock, "setTimeout">, startThread: StartThread): Reader {
  let asked: PromiseWithResolvers<FromTableThread> | undefined;
  let dead: Error | undefined;
  const die = (error: Error) => {
    dead ??= error;
    asked?.reject(dead);
  };
  const thread: Thread<ToTableThread> = startThread<ToTableThread, FromTableThread>({
    onMessage: (message) => asked?.resolve(message),
    onDeath: (why) => die(new Error(`The thread that reads tables died: ${why}`)),
  });
  return {
    report: (message) => thread.post(message),
    async ask(message) {
      if (dead) throw dead;
      const question = (asked = Promise.withResolvers<FromTableThread>());
      const cancel = clock.setTimeout(
        () => die(new TableFileError(`takes too long to read (${STEP_MS / 1000} s for some rows)`)),
        STEP_MS,
      );
      thread.post(message);
      try {
        return await question.promise;
      } finally {
        cancel();
      }
    },
    end() {
      thread.end();
      die(new Error("The thread that reads tables was ended"));
    },
  };
}
