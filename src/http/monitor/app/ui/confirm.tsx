import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { Dialog } from "./dialog.tsx";
import { Form } from "./form.tsx";
import { holdWhile } from "./resource.ts";

type Props = {
  /** The label of both buttons. */
  verb: string;
  /** The name of the object. */
  name: string;
  run: () => Promise<unknown>;
  /** The description of the consequences. */
  children: ComponentChildren;
};

/** A button for an irreversible action: it asks in a dialog, where the focus is on the button that cancels. */
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
