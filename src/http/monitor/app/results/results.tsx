import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import type { Batch, LiveBatch } from "../api/wire.ts";
import { Downloads } from "../batches/actions.tsx";
import { openAbove, replaceQuery, route } from "../shell/router.ts";
import { SelectField, TextField } from "../ui/field.tsx";
import { exactly } from "../ui/format.ts";
import { Card, Failed } from "../ui/panel.tsx";
import { Grid } from "./grid.tsx";
import { RetryActions } from "./retry.tsx";
import { RowPanel } from "./row-panel.tsx";
import { createSource } from "./source.ts";

const STATUSES = ["completed", "failed", "cancelled", "running", "pending"] as const;
const TYPING_MS = 300;

/** The rows of a batch, filtered, opened, retried and downloaded. The address has the filter and the open row. */
export function Results({ batch, live }: { batch: Batch; live: LiveBatch }) {
  const { query } = route.value;
  const status = query.get("status") ?? "";
  const contains = query.get("q") ?? "";
  const open = query.get("task");
  const [typed, setTyped] = useState(contains);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const source = useMemo(
    () => createSource(batch.id, { status, contains }),
    [batch.id, status, contains],
  );
  useEffect(() => source.stop, [source]);
  /** The text that this field has put into the address. What was typed since then must not be replaced by it. */
  const written = useRef(contains);
  // After a navigation the address may contain another text.
  useEffect(() => {
    if (written.current !== contains) setTyped(contains);
    written.current = contains;
  }, [contains]);
  useEffect(() => {
    const text = typed.trim();
    if (text === contains) return undefined;
    const timer = setTimeout(() => {
      written.current = text;
      replaceQuery({ q: text });
    }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const total = source.isFiltered ? source.found.value : live.progress.total;
  const { error } = source;
  return (
    <Card
      id="results"
      title="Rows"
      isWide
      note={
        <div class="actions">
          <span class="hint">Download{source.isFiltered ? " the filtered rows" : ""}:</span>
          <Downloads id={batch.id} name={batch.name} filter={source.query} />
        </div>
      }
    >
      <div class="filters">
        <SelectField
          label="Status"
          value={status}
          onInput={(value) => replaceQuery({ status: value })}
          options={[["", "any"], ...STATUSES]}
        />
        <TextField label="Contains" type="search" value={typed} onInput={setTyped} />
        <RetryActions
          batch={batch}
          live={live}
          filter={{ status, contains }}
          selected={selected}
          done={() => {
            setSelected(new Set());
            source.forget();
          }}
        />
      </div>
      {error.value && <Failed error={error.value} />}
      <Grid
        source={source}
        total={total}
        batch={live}
        selected={selected}
        select={setSelected}
        open={(task) => openAbove({ task })}
      />
      <p class="hint" role="status">
        {source.isFiltered
          ? found(total, source.isComplete.value)
          : `${exactly(total)} ${total === 1 ? "row" : "rows"}`}
        {selected.size > 0 ? `, ${exactly(selected.size)} selected` : ""}
      </p>
      {open && <RowPanel id={open} source={source} />}
    </Card>
  );
}

function found(total: number, isComplete: boolean): string {
  if (isComplete && total === 1) return "1 row matches";
  return `${exactly(total)} ${isComplete ? "" : "or more "}rows match`;
}
