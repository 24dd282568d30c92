import { useRef, useState } from "preact/hooks";

import { Dialog } from "./dialog.tsx";
import { Field } from "./field.tsx";

type Props = { title: string; label: string; secret: string; onClose: () => void };

/** A secret that is shown only once. The dialog closes only after it was copied, or on a second attempt. */
export function SecretOnce({ title, label, secret, onClose }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const [isCopied, setCopied] = useState(false);
  const [isWarned, setWarned] = useState(false);
  async function copy(): Promise<void> {
    input.current?.select();
    // Without HTTPS pages have no access to the clipboard, but the user can copy the selected text.
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
              ? "It has not been copied yet. Close again to continue without it."
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
