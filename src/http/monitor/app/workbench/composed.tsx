import type { Preview } from "../api/wire.ts";
import { TextField } from "../ui/field.tsx";
import { count, plural } from "../ui/format.ts";
import { Empty } from "../ui/panel.tsx";
import { change, draft } from "./draft.ts";
import { usePreview } from "./preview.ts";
import { ProblemText } from "./problem.tsx";

type Props = {
  preview: Preview | undefined;
  /** Whether the preview is being replaced. */
  isLoading: boolean;
  config: Record<string, unknown> | undefined;
};

/** The request for one of the rows, with its tokens. */
export function Composed({ preview, isLoading, config }: Props) {
  const number = draft.value.row;
  const near = preview?.rows.find(({ row }) => row === number);
  const far = usePreview(near ? undefined : draft.value.file?.id, config, {
    from: number,
    limit: 1,
  });
  const row = near ?? far.data?.rows.find((one) => one.row === number);
  const last = preview?.isWhole ? preview.rowCount : Infinity;
  const isWritten = draft.value.prompt.trim() !== "";
  const move = (to: number) => change({ row: Math.max(1, Math.min(last, to || 1)) });
  return (
    <section class="card" aria-labelledby="composed-title">
      <header>
        <h2 id="composed-title">What is sent</h2>
        <div class="actions">
          <button
            type="button"
            class="small"
            disabled={number <= 1}
            onClick={() => move(number - 1)}
          >
            Previous row
          </button>
          <button
            type="button"
            class="small"
            disabled={number >= last}
            onClick={() => move(number + 1)}
          >
            Next row
          </button>
        </div>
      </header>
      <div class="panel">
        <div class="filters">
          <TextField
            label="Row"
            type="number"
            value={String(number)}
            onInput={(text) => move(Math.floor(Number(text)))}
          />
          {row && row.promptTokens !== null && (
            <span class="quiet" role="status">
              {plural(row.promptTokens, "token")} for {row.model}
            </span>
          )}
        </div>
        {!row && (
          <Empty>
            {isLoading || far.isLoading ? "Loading…" : `There is no row ${count(number)}.`}
          </Empty>
        )}
        {row && !isWritten && <Empty>Write a prompt, or click a column into it.</Empty>}
        {row?.issues
          .filter(({ field }) => isWritten || field !== "prompt")
          .map(({ field, message }) => (
            <p key={field}>
              <ProblemText text={`${field}: ${message}`} isOld={near ? isLoading : far.isLoading} />
            </p>
          ))}
        {row?.messages.map(({ role, content }, i) => (
          <div key={i}>
            <h3>{role}</h3>
            <pre dir="auto">{content}</pre>
          </div>
        ))}
      </div>
    </section>
  );
}
