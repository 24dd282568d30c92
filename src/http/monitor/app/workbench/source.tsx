import { useEffect, useRef, useState } from "preact/hooks";

import type { Preview } from "../api/wire.ts";
import { count, plural } from "../ui/format.ts";
import { Meter } from "../ui/meter.tsx";
import { chooseFile, stopUpload, uploading, uploadProblem } from "./choose.ts";
import { draft } from "./draft.ts";
import { type Problem, ProblemText } from "./problem.tsx";

const TYPES = ".csv,.tsv,.txt,.xlsx,.parquet,.jsonl,.json";

/** The source of the rows: a file that was dropped, chosen or pasted, or a range that was copied in a spreadsheet. */
export function Source({ preview, problem }: { preview: Preview | undefined; problem: Problem }) {
  const chooser = useRef<HTMLInputElement>(null);
  const [isOver, setOver] = useState(false);
  const { file } = draft.value;

  useEffect(() => {
    const paste = (event: ClipboardEvent) => {
      if (event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement)
        return;
      const chosen =
        event.clipboardData?.files[0] ?? rangeOf(event.clipboardData?.getData("text/plain"));
      if (!chosen) return;
      event.preventDefault();
      void chooseFile(chosen);
    };
    document.addEventListener("paste", paste);
    return () => document.removeEventListener("paste", paste);
  }, []);

  return (
    <section
      class={`card drop${file ? "" : " open"}${isOver ? " over" : ""}`}
      aria-label="Table"
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        const dropped = event.dataTransfer?.files[0];
        if (dropped) void chooseFile(dropped);
      }}
    >
      <div class="panel">
        <input
          ref={chooser}
          type="file"
          class="unseen"
          tabindex={-1}
          aria-label="Table file"
          accept={TYPES}
          onChange={(event) => {
            const chosen = event.currentTarget.files?.[0];
            if (chosen) void chooseFile(chosen);
            event.currentTarget.value = "";
          }}
        />
        <p class="actions">
          <button
            type="button"
            class={file ? "small" : "primary"}
            onClick={() => chooser.current?.click()}
          >
            {file ? "Another table" : "Choose a table"}
          </button>
          {file ? (
            <>
              <strong dir="auto">{file.name}</strong>
              {preview && <span class="quiet">{detected(preview)}</span>}
            </>
          ) : (
            <span class="quiet">
              CSV, Excel, JSONL or Parquet. Or drop a file here, or paste cells that you have copied
              in a spreadsheet.
            </span>
          )}
        </p>
        <Upload />
        {preview?.warning && (
          <p class="warning" role="status" dir="auto">
            {preview.warning}
          </p>
        )}
        {!uploading.value && (uploadProblem.value || problem.text) && (
          <p role="alert">
            {uploadProblem.value ? (
              <span class="error">{uploadProblem}</span>
            ) : (
              <ProblemText {...problem} />
            )}
          </p>
        )}
      </div>
    </section>
  );
}

function Upload() {
  const under = uploading.value;
  if (!under) return null;
  const percent = `${Math.round(under.share * 100)} %`;
  return (
    <div class="actions">
      <span role="status">Uploading {under.name}…</span>
      <Meter value={under.share} most={1} label={`Upload of ${under.name}`} text={percent} />
      <button type="button" class="small" onClick={stopUpload}>
        Stop
      </button>
    </div>
  );
}

function detected({
  format,
  delimiter,
  encoding,
  sheet,
  rowCount,
  isWhole,
  columns,
}: Preview): string {
  const marks: Record<string, string> = {
    "\t": "tabs",
    ",": "commas",
    ";": "semicolons",
    "|": "bars",
  };
  return [
    isWhole ? plural(rowCount, "row") : `${count(rowCount)} or more rows`,
    plural(columns.length, "column"),
    format.toUpperCase(),
    sheet !== null && `sheet ${sheet}`,
    delimiter !== null && `separated by ${marks[delimiter] ?? delimiter}`,
    encoding !== null && encoding,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Cells that were copied in a spreadsheet are lines with tabs. */
function rangeOf(text: string | undefined): File | undefined {
  if (!text || !/[\t\n]/.test(text.trim())) return undefined;
  return new File([text], "pasted.csv", { type: "text/csv" });
}
