import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { ApiError, get } from "../api/client.ts";
import { connection } from "../live/state.ts";

export type Resource<T> = {
  data: T | undefined;
  error: ApiError | undefined;
  isLoading: boolean;
  refresh: () => void;
};

const LEAST_MS = 1000;

let isHeld = false;
/** The time for the page to leave a removed resource. */
const HOLD_MS = 100;

/**
 * Runs an action that may delete the shown resource. Until it is over, resources are not fetched again, because they
 * would not be found.
 */
export async function holdWhile(run: () => Promise<unknown>): Promise<void> {
  isHeld = true;
  try {
    await run();
  } finally {
    setTimeout(() => (isHeld = false), HOLD_MS);
  }
}

/**
 * Fetches a path of the API; `null` fetches nothing. It is fetched again when `revision` changes, at most once a
 * second, and never by a timer. The old data stay while it loads, and if it fails.
 */
export function useResource<T>(path: string | null, revision: unknown = 0): Resource<T> {
  const [state, setState] = useState<Omit<Resource<T>, "refresh">>(nothing);
  const asked = useRef<{ path: string | null; at: number }>({ path: null, at: -Infinity });
  const [turn, setTurn] = useState(0);

  useEffect(() => {
    if (path === null) return undefined;
    const isOther = asked.current.path !== path;
    if (isOther) setState(nothing());
    const waitMs = isOther ? 0 : Math.max(0, LEAST_MS - (performance.now() - asked.current.at));
    const abort = new AbortController();
    const ask = async () => {
      if (isHeld && !isOther) {
        timer = setTimeout(ask, HOLD_MS);
        return;
      }
      asked.current = { path, at: performance.now() };
      try {
        const data = await get<T>(path, abort.signal);
        if (!abort.signal.aborted) setState({ data, error: undefined, isLoading: false });
      } catch (error) {
        if (abort.signal.aborted || !(error instanceof ApiError)) return;
        setState(({ data }) => ({ data, error, isLoading: false }));
      }
    };
    let timer = setTimeout(ask, waitMs);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [path, revision, turn]);

  // A failed request is sent again when the connection is back.
  const isBack = connection.value === "live" && isUnreached(state.error);
  useEffect(() => {
    if (isBack) setTurn((n) => n + 1);
  }, [isBack]);

  const refresh = useCallback(() => {
    asked.current.at = -Infinity;
    setTurn((n) => n + 1);
  }, []);
  return { ...state, refresh };
}

/** Whether there was no answer, or only one of a proxy that got none. */
function isUnreached(error: ApiError | undefined): boolean {
  return (
    error !== undefined && (error.status === 0 || error.status === 502 || error.status === 504)
  );
}

function nothing<T>(): Omit<Resource<T>, "refresh"> {
  return { data: undefined, error: undefined, isLoading: true };
}
