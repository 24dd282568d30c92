import { useState } from "preact/hooks";

import { post } from "../api/client.ts";
import { Dialog } from "../ui/dialog.tsx";
import { CheckField, TextField } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";
import { localTime, plural } from "../ui/format.ts";
import { toast } from "../ui/toast.tsx";
import { pathOf } from "./actions.tsx";

const AN_HOUR_MS = 3_600_000;

/** Sends everything since a time again. */
export function ReplayMany({ id, refresh }: { id: string; refresh: () => void }) {
  const [isOpen, setOpen] = useState(false);
  const [since, setSince] = useState("");
  const [onlyFailed, setOnlyFailed] = useState(true);
  const close = () => setOpen(false);
  return (
    <>
      <button
        type="button"
        class="small"
        onClick={() => {
          setSince(localTime(new Date(Date.now() - AN_HOUR_MS)));
          setOpen(true);
        }}
      >
        Replay since…
      </button>
      {isOpen && (
        <Dialog title="Send past events again" onClose={close}>
          <Form
            submitName="Send again"
            onCancel={close}
            submit={async () => {
              const { deliveries } = await post<{ deliveries: number }>(`${pathOf(id)}/replay`, {
                since: new Date(since).toISOString(),
                onlyFailed,
              });
              toast(`${plural(deliveries, "delivery is", "deliveries are")} sent again`);
              close();
              refresh();
            }}
          >
            <TextField
              label="Since (your time zone)"
              name="since"
              type="datetime-local"
              value={since}
              onInput={setSince}
              isRequired
            />
            <CheckField
              label="Only deliveries that have failed or wait for their next attempt"
              checked={onlyFailed}
              onInput={setOnlyFailed}
            />
          </Form>
        </Dialog>
      )}
    </>
  );
}
