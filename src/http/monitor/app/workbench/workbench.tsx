import { useRef, useState } from "preact/hooks";

import { call, post } from "../api/client.ts";
import { go, href } from "../shell/router.ts";
import { status } from "../shell/status.ts";
import { CheckField, Field, TextField } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";
import { bytes } from "../ui/format.ts";

/** Uploads a table and runs a task for each of its rows. */
export function Workbench() {
  const file = useRef<HTMLInputElement>(null);
  const [hint, setHint] = useState("One row is one task. A `prompt` column is sent as it stands.");
  const [template, setTemplate] = useState("");
  const [model, setModel] = useState("");
  const [isDryRun, setDryRun] = useState(false);

  async function look(): Promise<void> {
    const chosen = file.current?.files?.[0];
    if (!chosen) return;
    const [head = ""] = (await chosen.slice(0, 4096).text()).split(/\r?\n/);
    setHint(`${bytes(chosen.size)}, columns: ${head.slice(0, 300)}`);
  }

  async function run(): Promise<void> {
    const chosen = file.current?.files?.[0];
    if (!chosen) return;
    const body = new FormData();
    body.append("file", chosen, chosen.name);
    const { id } = await call<{ id: string }>("POST", "/files", body);
    const batch = await post<{ id: string }>("/batches", {
      name: chosen.name,
      inputFile: id,
      config: {
        ...(template.trim() ? { promptTemplate: template } : {}),
        ...(model.trim() ? { model: model.trim() } : {}),
      },
    });
    await post(`/batches/${encodeURIComponent(batch.id)}/execute`, { isDryRun });
    go(href(["batches", batch.id]));
  }

  return (
    <section class="card narrow" aria-labelledby="new-run">
      <header>
        <h2 id="new-run">New run</h2>
        <a href="#/tasks">One task instead</a>
      </header>
      <div class="panel">
        <Form submitName="Upload and run" submit={run}>
          <Field label="Table (CSV, XLSX, JSONL)" hint={hint}>
            {({ id, describedBy }) => (
              <input
                ref={file}
                id={id}
                type="file"
                required
                aria-describedby={describedBy}
                accept=".csv,.tsv,.xlsx,.parquet,.jsonl,.json"
                onChange={look}
              />
            )}
          </Field>
          <TextField
            label="Prompt template"
            hint="Columns in double braces; optional where there is a column called prompt"
            value={template}
            onInput={setTemplate}
            rows={4}
            placeholder="Describe {{city}} in one sentence of {{language}}."
          />
          <TextField
            label="Model"
            value={model}
            onInput={setModel}
            placeholder={status.value?.provider.defaultModel}
          />
          <CheckField
            label="Dry run: the simulator answers, at no cost"
            checked={isDryRun}
            onInput={setDryRun}
          />
        </Form>
      </div>
    </section>
  );
}
