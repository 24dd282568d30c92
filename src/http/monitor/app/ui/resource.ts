import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { ApiError, get } from "../api/client.ts";
import { connection } from "../live/state.ts";

type State<T> = { data: T | undefined; error: ApiError | undefined; isLoading: boolean };
export type Resource<T> = State<T> & { refresh: () => void };

const LEAST_MS = 1000;

/** How many actions run that may delete the shown resource. */
let held = 0;
/** The time for the page to leave a removed resource. */
const HOLD_MS = 100;

/**
 * Runs an action that may delete the shown resource. Until it is over, resources are not fetched again, because they
 * would not be found.
 */
export async function holdWhile(run: () => Promise<unknown>): Promise<void> {
  held++;
  try {
    await run();
  } finally {
    setTimeout(() => held--, HOLD_MS);
  }
}

/**
 * Fetches a path of the API; `null` fetches nothing. It is fetched again when `revision` changes, at most once a
 * second, and never by a timer. The old data stay while it loads, and if it fails.
 */
export function useResource<T>(path: string | null, revision: unknown = 0): Resource<T> {
  const [shown, setShown] = useState<State<T> & { path: string | null }>({ ...nothing(), path });
  const loader = useRef<Loader>(undefined);
  // The data of an earlier path are not those of this one.
  const { data, error, isLoading } = shown.path === path ? shown : nothing<T>();

  useEffect(() => {
    if (path === null) return undefined;
    const mine = createLoader<T>(path, (state) =>
      setShown((before) => ({ ...state(before.path === path ? before.data : undefined), path })),
    );
    loader.current = mine;
    return () => {
      mine.stop();
      loader.current = undefined;
    };
  }, [path]);
  useEffect(() => loader.current?.changed(), [path, revision]);

  // A failed request is sent again when the connection is back.
  const isBack = connection.value === "live" && isUnreached(error);
  useEffect(() => {
    if (isBack) loader.current?.changed();
  }, [isBack]);

  const refresh = useCallback(() => loader.current?.refresh(), []);
  return { data, error, isLoading, refresh };
}

type Loader = ReturnType<typeof createLoader>;

/**
 * Loads one path, once at a time. A change that arrives during a load is followed by another load: the answer may be
 * older than the change. The load itself is not stopped, because under constant changes none would ever end.
 */
function createLoader<T>(path: string, show: (state: (old: T | undefined) => State<T>) => void) {
  let current: AbortController | undefined;
  let isOvertaken = false;
  let at = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function load(): Promise<void> {
    if (held > 0 && at !== -Infinity) {
      timer = setTimeout(load, HOLD_MS);
      return;
    }
    const mine = new AbortController();
    current = mine;
    isOvertaken = false;
    at = performance.now();
    try {
      const data = await get<T>(path, mine.signal);
      if (current === mine) show(() => ({ data, error: undefined, isLoading: false }));
    } catch (error) {
      if (current === mine && error instanceof ApiError)
        show((data) => ({ data, error, isLoading: false }));
    }
    if (current !== mine) return;
    current = undefined;
    if (isOvertaken) changed();
  }

  function changed(): void {
    if (current) {
      isOvertaken = true;
      return;
    }
    clearTimeout(timer);
    timer = setTimeout(load, Math.max(0, LEAST_MS - (performance.now() - at)));
  }

  function stop(): void {
    clearTimeout(timer);
    current?.abort();
    current = undefined;
  }

  return {
    changed,
    /** Loads it now. What is under way is older than the action of the user, and may never be answered. */
    refresh(): void {
      stop();
      timer = setTimeout(load, 0);
    },
    stop,
  };
}

/** Whether there was no answer, or only one of a proxy that got none. */
export function isUnreached(error: ApiError | undefined): boolean {
  return (
    error !== undefined && (error.status === 0 || error.status === 502 || error.status === 504)
  );
}

function nothing<T>(): State<T> {
  return { data: undefined, error: undefined, isLoading: true };
}
