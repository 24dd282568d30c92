import { AsyncLocalStorage } from "node:async_hooks";

const current = new AsyncLocalStorage<AbortSignal>();

/** Runs work for a client that may disconnect. Inside, `leaveSignal` returns the signal that aborts when it has. */
export function workFor<T>(signal: AbortSignal, work: () => T): T {
  return current.run(signal, work);
}

/** Runs work that belongs to no client, although a client's request triggered it. */
export function workForNobody<T>(work: () => T): T {
  return current.exit(work);
}

/** The signal of the client that the current work is for, if there is one. */
export function leaveSignal(): AbortSignal | undefined {
  return current.getStore();
}
