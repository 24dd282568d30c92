import type { FromWorker, ToWorker } from "../../src/engine/protocol.ts";
import { startWorkerThread } from "../../src/engine/worker-thread.ts";
import type { StartThread, Thread } from "../../src/lib/thread.ts";

type Owner = { onMessage: (message: FromWorker) => void; onDeath: (why: string) => void };

/** A real worker thread, and its present owner. */
type Shared = {
  thread: Thread<ToWorker>;
  /** Calls that the thread has received and not yet reported. */
  underWay: number;
  isDead: boolean;
  owner: Owner | undefined;
};

const idle: Shared[] = [];

/**
 * Starts real worker threads as `startWorkerThread` does, but each only with its first call. A thread without a call in
 * progress when its server stops is reused by the next server, whose first message resets it. Most tests make few calls
 * or none, and a separate thread for each server would take longer than the rest of its start.
 */
export const startSharedThread: StartThread = <Sent, Received>(handlers: {
  onMessage: (message: Received) => void;
  onDeath: (why: string) => void;
}): Thread<Sent> => {
  // Only the engine uses this, with the messages of `protocol.ts`.
  return share(handlers as unknown as Owner) as Thread<unknown> as Thread<Sent>;
};

function share(owner: Owner): Thread<ToWorker> {
  const early: ToWorker[] = [];
  let shared: Shared | undefined;
  return {
    post(message) {
      if (!shared && message.type === "start") early.push(message);
      if (!shared && message.type === "run") {
        shared = take(owner);
        for (const one of early) shared.thread.post(one);
      }
      if (!shared) return;
      if (message.type === "run") shared.underWay += message.calls.length;
      shared.thread.post(message);
    },
    end() {
      if (shared) giveBack(shared);
    },
  };
}

function take(owner: Owner): Shared {
  const shared = idle.pop() ?? startOne();
  shared.owner = owner;
  return shared;
}

function giveBack(shared: Shared): void {
  shared.owner = undefined;
  if (shared.underWay === 0 && !shared.isDead) idle.push(shared);
  else shared.thread.end();
}

function startOne(): Shared {
  const thread = startWorkerThread<ToWorker, FromWorker>({
    onMessage(message) {
      shared.underWay -= message.reports.length;
      shared.owner?.onMessage(message);
    },
    onDeath(why) {
      shared.isDead = true;
      if (idle.includes(shared)) idle.splice(idle.indexOf(shared), 1);
      shared.owner?.onDeath(why);
    },
  });
  const shared: Shared = { thread, underWay: 0, isDead: false, owner: undefined };
  return shared;
}
