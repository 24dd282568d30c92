import { useRef, useState } from "preact/hooks";

import { Dialog } from "./dialog.tsx";
import { Field } from "./field.tsx";

type Props = { title: string; label: string; secret: string; onClose: () => void };

/** A secret that can be read this once. It does not close unless it was copied, or somebody insists. */
export function SecretOnce({ title, label, secret, onClose }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const [isCopied, setCopied] = useState(false);
  const [isWarned, setWarned] = useState(false);
  async function copy(): Promise<void> {
    input.current?.select();
    // Without HTTPS browsers have no clipboard for pages; what is selected can be copied still.
    if (navigator.clipboard) await navigator.clipboard.writeText(secret).catch(() => undefined);
    else document.execCommand("copy");
    setCopied(true);
  }
  return (
    <Dialog title={title} onClose={() => (isCopied || isWarned ? onClose() : setWarned(true))}>
      <div class="stack">
        <p>This is the only time that it is shown: the server cannot show it again.</p>
        <Field label={label}>
          {({ id }) => (
            <input
              ref={input}
              id={id}
              class="secret"
              readOnly
              value={secret}
              onCopy={() => setCopied(true)}
              onFocus={(event) => event.currentTarget.select()}
            />
          )}
        </Field>
        <p role="status" class={isWarned && !isCopied ? "error" : "hint"}>
          {isCopied
            ? "Copied."
            : isWarned
              ? "It was not copied yet. Close again to go on without it."
              : ""}
        </p>
        <footer>
          <button type="button" class="primary" onClick={copy}>
            Copy
          </button>
        </footer>
      </div>
    </Dialog>
  );
}
