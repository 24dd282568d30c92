import { useRef, useState } from "preact/hooks";

import { Field } from "../ui/field.tsx";
import { change, draft } from "./draft.ts";

type Name = "prompt" | "system";

/** The prompt and the system prompt. A click on a column inserts it into the last edited one. */
export function Prompts({ columns }: { columns: string[] }) {
  const areas = {
    prompt: useRef<HTMLTextAreaElement>(null),
    system: useRef<HTMLTextAreaElement>(null),
  };
  const [last, setLast] = useState<Name>("prompt");

  function insert(column: string): void {
    const area = areas[last].current;
    const text = draft.value[last];
    const from = area?.selectionStart ?? text.length;
    const to = area?.selectionEnd ?? text.length;
    const added = `{{${column}}}`;
    change({ [last]: text.slice(0, from) + added + text.slice(to) });
    requestAnimationFrame(() => {
      area?.focus();
      area?.setSelectionRange(from + added.length, from + added.length);
    });
  }

  const area = (name: Name, label: string, rows: number, placeholder: string) => (
    <Field label={label}>
      {({ id }) => (
        <textarea
          id={id}
          ref={areas[name]}
          rows={rows}
          dir="auto"
          value={draft.value[name]}
          placeholder={placeholder}
          onFocus={() => setLast(name)}
          onInput={(event) => change({ [name]: event.currentTarget.value })}
        />
      )}
    </Field>
  );

  return (
    <>
      <div
        role="group"
        aria-label={`Columns, to put into the ${last === "prompt" ? "prompt" : "system prompt"}`}
        class="chips"
      >
        {columns.map((column) => (
          <button
            key={column}
            type="button"
            class="small chip"
            dir="auto"
            onClick={() => insert(column)}
          >
            {column}
          </button>
        ))}
      </div>
      {area(
        "prompt",
        "Prompt of each row",
        5,
        "Describe {{city}} in one sentence of {{language}}.",
      )}
      {area("system", "System prompt (optional)", 2, "You are brief and friendly.")}
    </>
  );
}
