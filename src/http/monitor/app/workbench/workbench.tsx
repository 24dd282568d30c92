import { useMemo } from "preact/hooks";

import { may } from "../api/client.ts";
import { Empty } from "../ui/panel.tsx";
import { Answers } from "./answers.tsx";
import { startOver } from "./choose.ts";
import { Composed } from "./composed.tsx";
import { configOf, draft } from "./draft.ts";
import { ModelChoice } from "./model.tsx";
import { usePreview } from "./preview.ts";
import { NO_PROBLEM } from "./problem.tsx";
import { Prompts } from "./prompts.tsx";
import { RunBar } from "./run-bar.tsx";
import { Settings } from "./settings.tsx";
import { Source } from "./source.tsx";
import { TablePreview } from "./table.tsx";

/** From a table to answers: choose the table, write the prompt, see what is sent and what it costs, try, run. */
export function Workbench() {
  const current = draft.value;
  const { config, problem } = useMemo(() => tryConfig(), [current]);
  // The table can be shown before the schema of the answers is valid.
  const shown = config ?? configOf({ ...current, answerKind: "text" });
  const preview = usePreview(current.file?.id, shown, { from: 1, limit: 20 });
  if (!may("write")) return <Empty>This key may only read.</Empty>;
  const refused = { text: preview.error, isOld: preview.isLoading };
  const columns = preview.data?.columns ?? [];
  return (
    <>
      <div class="page-head">
        <h2>New run</h2>
        <span class="spring" />
        <a href="#/tasks">One task instead</a>
        <button type="button" class="small" onClick={startOver}>
          Start over
        </button>
      </div>
      <Source preview={preview.data} problem={preview.data ? NO_PROBLEM : refused} />
      {current.file && (
        <>
          <TablePreview preview={preview.data} isLoading={preview.isLoading} />
          <div class="bench">
            <section class="card" aria-labelledby="ask-title">
              <header>
                <h2 id="ask-title">Prompt</h2>
              </header>
              <div class="panel stack">
                <Prompts columns={columns} />
                <ModelChoice />
                <Answers problem={problem} />
                <Settings />
              </div>
            </section>
            <Composed preview={preview.data} isLoading={preview.isLoading} config={shown} />
          </div>
          <RunBar
            preview={preview.data}
            config={config}
            problem={
              problem ? { text: problem, isOld: false } : preview.data ? refused : NO_PROBLEM
            }
          />
        </>
      )}
    </>
  );
}

function tryConfig(): { config: Record<string, unknown> | undefined; problem: string } {
  try {
    return { config: configOf(draft.value), problem: "" };
  } catch (error) {
    return { config: undefined, problem: error instanceof Error ? error.message : String(error) };
  }
}
