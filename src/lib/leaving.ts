import { AsyncLocalStorage } from "node:async_hooks";

const current = new AsyncLocalStorage<AbortSignal>();

/** Does work for somebody who may leave: what `leaveSignal` returns inside aborts when they have. */
export function workFor<T>(signal: AbortSignal, work: () => T): T {
  return current.run(signal, work);
}

/** Does work that whoever happened to set it off need not wait for. */
export function workForNobody<T>(work: () => T): T {
  return current.exit(work);
}

/** The signal of whoever the present work is for, if it is for somebody. */
export function leaveSignal(): AbortSignal | undefined {
  return current.getStore();
}
