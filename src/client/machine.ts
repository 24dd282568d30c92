/* The functions of the runtime that the client needs: Node from 20 on, Bun, Deno or a browser. */

/** Resolves after `ms`. Rejects with the reason if the signal aborts. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** A signal that aborts after `ms`, or with another one. */
export function within(ms: number, signal: AbortSignal | undefined): AbortSignal {
  const late = AbortSignal.timeout(ms);
  return signal ? AbortSignal.any([late, signal]) : late;
}

/** Ms since an arbitrary moment. It never goes back. */
export function monotonic(): number {
  return performance.now();
}

/** A unique text. */
export function unique(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
