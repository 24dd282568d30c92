import { useRef, useState } from "preact/hooks";

import { copyFrom } from "./clipboard.ts";
import { Dialog } from "./dialog.tsx";
import { Field } from "./field.tsx";

type Props = { title: string; label: string; secret: string; onClose: () => void };

const UNUSED = "It has not been copied yet. Close again to continue without it.";
const NOT_COPIED = "The browser does not copy it: it is selected, copy it with the keyboard.";

/** A secret that is shown only once. The dialog closes only after it was copied, or on a second attempt. */
export function SecretOnce({ title, label, secret, onClose }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const [isCopied, setCopied] = useState(false);
  /** What is wrong. After a warning the dialog can be closed. */
  const [words, setWords] = useState("");
  async function copy(): Promise<void> {
    if (await copyFrom(input.current)) setCopied(true);
    else setWords(NOT_COPIED);
  }
  return (
    <Dialog
      title={title}
      onClose={() => (isCopied || words === UNUSED ? onClose() : setWords(UNUSED))}
    >
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
        <p role="status" class={isCopied ? "hint" : "error"}>
          {isCopied ? "Copied." : words}
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
