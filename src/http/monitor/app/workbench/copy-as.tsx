import { useRef, useState } from "preact/hooks";

import { addressOf, download } from "../api/client.ts";
import { Action } from "../ui/action.tsx";
import { copyFrom } from "../ui/clipboard.ts";
import { Dialog } from "../ui/dialog.tsx";
import { SelectField } from "../ui/field.tsx";
import { toast } from "../ui/toast.tsx";
import { draft } from "./draft.ts";
import { LANGUAGES, type Language, programFor } from "./programs.ts";

/** The same run as a program. */
export function CopyAs({ config, close }: { config: Record<string, unknown>; close: () => void }) {
  const program = useRef<HTMLPreElement>(null);
  const [language, setLanguage] = useState<Language>("curl");
  const { file, isDryRun } = draft.value;
  const text = programFor(language, {
    base: addressOf(""),
    file: file?.name ?? "table.csv",
    config,
    isDryRun,
  });
  return (
    <Dialog title="Copy as a program" onClose={close}>
      <div class="stack">
        <SelectField
          label="Language"
          value={language}
          options={LANGUAGES}
          onInput={(value) => setLanguage(value as Language)}
        />
        <pre ref={program} tabindex={0} aria-label="Program">
          {text}
        </pre>
        {file && (
          <p class="hint">
            It reads <span dir="auto">{file.name}</span> in the folder where it is started.{" "}
            <Action
              run={() => download(`/files/${encodeURIComponent(file.id)}/content`, file.name)}
            >
              Download that file
            </Action>
          </p>
        )}
        <footer>
          <button
            type="button"
            class="primary"
            onClick={async () => {
              const isCopied = await copyFrom(program.current);
              toast(isCopied ? "Copied" : "The browser does not copy it: it is selected");
            }}
          >
            Copy
          </button>
        </footer>
      </div>
    </Dialog>
  );
}
