import { useEffect, useRef, useState } from "preact/hooks";

import { ApiError, call } from "../api/client.ts";
import type { Preview } from "../api/wire.ts";
import { connection } from "../live/state.ts";
import { isUnreached } from "../ui/resource.ts";

const TYPING_MS = 350;

type State = { data: Preview | undefined; error: string; isLoading: boolean; isLost?: boolean };

/** The preview of the table with this configuration, some moments after its last change. */
export function usePreview(
  inputFile: string | undefined,
  config: object | undefined,
  { from, limit }: { from: number; limit: number },
): State {
  const [state, setState] = useState<State>({ data: undefined, error: "", isLoading: false });
  const file = useRef<string | undefined>(undefined);
  const [turn, setTurn] = useState(0);
  const asked = JSON.stringify([inputFile, config, from, limit]);
  useEffect(() => {
    if (inputFile === undefined || config === undefined) {
      if (inputFile === undefined) setState({ data: undefined, error: "", isLoading: false });
      return undefined;
    }
    const abort = new AbortController();
    const isNew = file.current !== inputFile;
    file.current = inputFile;
    setState(({ data, error }) => ({ data: isNew ? undefined : data, error, isLoading: true }));
    const ask = async () => {
      try {
        const data = await call<Preview>(
          "POST",
          "/batches/preview",
          { inputFile, config, from, limit },
          { signal: abort.signal },
        );
        if (!abort.signal.aborted) setState({ data, error: "", isLoading: false });
      } catch (error) {
        if (abort.signal.aborted || !(error instanceof ApiError)) return;
        // The name of the API's field for the table says nothing to a reader of the page.
        const aboutTable = error.issues.find(({ path }) => path === "inputFile")?.message;
        setState(({ data }) => ({
          data,
          error: aboutTable ?? error.message,
          isLoading: false,
          isLost: isUnreached(error),
        }));
      }
    };
    const timer = setTimeout(ask, isNew ? 0 : TYPING_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [asked, turn]);
  // A request without an answer is sent again when the connection is back.
  const isLive = connection.value === "live";
  useEffect(() => {
    if (isLive && state.isLost) setTurn((n) => n + 1);
  }, [isLive]);
  return state;
}
