import { useEffect, useState } from "preact/hooks";

import { ApiError, download, request } from "../api/client.ts";
import type { BatchSummary, Page } from "../api/wire.ts";
import { newestBatches } from "../live/state.ts";
import { replaceQuery, route } from "../shell/router.ts";
import { Action } from "../ui/action.tsx";
import { CheckField, SelectField } from "../ui/field.tsx";
import { Card, Empty, Failed, Loading } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { CompareTable, type Pair } from "./compare-table.tsx";

const MOST_PAIRS = 100;
const LOST = new ApiError(0, "UNREACHABLE", "The answer of the server ended too early");

/** Two batches side by side: the same table with another prompt or another model. */
export function Compare() {
  const { query } = route.value;
  const [left, right] = [query.get("left") ?? "", query.get("right") ?? ""];
  const by = query.get("by") ?? "position";
  const differing = query.get("differing") === "true";
  const list = useResource<Page<"batches", BatchSummary>>(
    "/batches?limit=100",
    newestBatches.value?.map(([id]) => id).join(),
  );
  const names = (list.data?.batches ?? []).map(({ id, name }) => [id, `${name} (${id})`] as const);
  const search = `left=${encodeURIComponent(left)}&right=${encodeURIComponent(right)}&by=${by}&differing=${differing}`;
  const pairs = usePairs(left && right ? search : undefined);
  const choose = (label: string, name: "left" | "right", value: string) => (
    <SelectField
      label={label}
      value={value}
      options={[["", "choose a batch"], ...names]}
      onInput={(id) => replaceQuery({ [name]: id })}
    />
  );
  return (
    <Card
      id="compare"
      title="Compare two batches"
      isWide
      note={
        left &&
        right && (
          <Action
            run={() =>
              download(`/batches/compare?${search}&format=csv&bom=true`, `${left}-${right}.csv`)
            }
          >
            Download as CSV
          </Action>
        )
      }
    >
      <div class="filters">
        {choose("Left", "left", left)}
        {choose("Right", "right", right)}
        <SelectField
          label="Match rows by"
          value={by}
          options={["position", "id"]}
          onInput={(value) => replaceQuery({ by: value })}
        />
        <CheckField
          label="Only differences"
          checked={differing}
          onInput={(checked) => replaceQuery({ differing: checked ? "true" : undefined })}
        />
      </div>
      {!left || !right ? (
        <Empty>Choose two batches of the same table.</Empty>
      ) : (
        <Found {...pairs} />
      )}
    </Card>
  );
}

type Pairs = {
  pairs: Pair[];
  error: ApiError | undefined;
  isLoading: boolean;
  isCut: boolean;
  retry: () => void;
};

function Found({ pairs, error, isLoading, isCut, retry }: Pairs) {
  if (error) return <Failed error={error} retry={retry} />;
  if (isLoading) return <Loading />;
  if (pairs.length === 0) return <Empty>All rows are equal.</Empty>;
  return (
    <>
      <CompareTable pairs={pairs} />
      {isCut && <p class="hint">These are the first {MOST_PAIRS}; the download has all rows.</p>}
    </>
  );
}

/** The first pairs of the comparison, which is streamed and not read further. */
function usePairs(search: string | undefined): Pairs {
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<Omit<Pairs, "retry">>({
    pairs: [],
    error: undefined,
    isLoading: true,
    isCut: false,
  });
  useEffect(() => {
    if (search === undefined) return undefined;
    const abort = new AbortController();
    setState({ pairs: [], error: undefined, isLoading: true, isCut: false });
    readPairs(search, abort.signal).then(
      ({ pairs, isCut }) => setState({ pairs, isCut, error: undefined, isLoading: false }),
      (problem: unknown) => {
        if (abort.signal.aborted) return;
        // The connection can be lost in the middle of the answer.
        const error = problem instanceof ApiError ? problem : LOST;
        setState({ pairs: [], isCut: false, error, isLoading: false });
      },
    );
    return () => abort.abort();
  }, [search, turn]);
  return { ...state, retry: () => setTurn((n) => n + 1) };
}

async function readPairs(search: string, signal: AbortSignal) {
  const response = await request("GET", `/batches/compare?${search}&format=jsonl`, { signal });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  const pairs: Pair[] = [];
  let rest = "";
  for (;;) {
    const { value, done } = (await reader?.read()) ?? { value: undefined, done: true };
    const lines = (rest + (value ?? "")).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line !== "") pairs.push(JSON.parse(line) as Pair);
    if (done) return { pairs, isCut: false };
    if (pairs.length < MOST_PAIRS) continue;
    await reader?.cancel();
    return { pairs: pairs.slice(0, MOST_PAIRS), isCut: true };
  }
}
