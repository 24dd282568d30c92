import { useState } from "preact/hooks";

import { post } from "../api/client.ts";
import { go, href } from "../shell/router.ts";
import { status } from "../shell/status.ts";
import { SelectField, TextField } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";

const PRIORITIES = ["normal", "urgent", "high", "low"] as const;

/** One prompt, to be run at once. */
export function NewTask() {
  const [prompt, setPrompt] = useState("");
  const [model, setModel] = useState("");
  const [priority, setPriority] = useState("normal");
  return (
    <section class="card narrow" aria-labelledby="new-task">
      <header>
        <h2 id="new-task">New task</h2>
      </header>
      <div class="panel">
        <Form
          submitName="Run"
          submit={async () => {
            const task = await post<{ id: string }>("/tasks?execute=true", {
              prompt,
              priority,
              ...(model.trim() ? { model: model.trim() } : {}),
            });
            go(href(["tasks", task.id]));
          }}
        >
          <TextField label="Prompt" value={prompt} onInput={setPrompt} rows={6} isRequired />
          <div class="two">
            <TextField
              label="Model"
              value={model}
              onInput={setModel}
              placeholder={status.value?.provider.defaultModel}
            />
            <SelectField
              label="Priority"
              value={priority}
              onInput={setPriority}
              options={PRIORITIES}
            />
          </div>
        </Form>
      </div>
    </section>
  );
}
