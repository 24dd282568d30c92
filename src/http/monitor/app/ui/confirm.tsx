import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { Dialog } from "./dialog.tsx";
import { Form } from "./form.tsx";
import { holdWhile } from "./resource.ts";

type Props = {
  /** What the button says, and the one that does it. */
  verb: string;
  /** What it is done to. */
  name: string;
  run: () => Promise<unknown>;
  /** What comes of it. */
  children: ComponentChildren;
};

/** A button for what cannot be taken back: it asks in a dialog, which has the focus on what changes nothing. */
export function AskFirst({ verb, name, run, children }: Props) {
  const [isOpen, setOpen] = useState(false);
  const close = () => setOpen(false);
  return (
    <>
      <button
        type="button"
        class="small"
        aria-label={`${verb} ${name}`}
        onClick={() => setOpen(true)}
      >
        {verb}
      </button>
      {isOpen && (
        <Dialog title={`${verb} ${name}?`} onClose={close}>
          <Form
            submitName={verb}
            isDangerous
            onCancel={close}
            submit={async () => {
              await holdWhile(run);
              close();
            }}
          >
            <p>{children}</p>
          </Form>
        </Dialog>
      )}
    </>
  );
}
