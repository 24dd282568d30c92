import { useState } from "preact/hooks";

import { post } from "../api/client.ts";
import type { WebhookWithSecret } from "../api/wire.ts";
import { Dialog } from "../ui/dialog.tsx";
import { TextField } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";
import { Secret } from "../ui/secret.tsx";

/** Makes a webhook, and shows its secret this once. */
export function NewWebhook({ close }: { close: () => void }) {
  const [url, setUrl] = useState("https://");
  const [events, setEvents] = useState("batch.finished, system.alert");
  const [description, setDescription] = useState("");
  const [made, setMade] = useState<WebhookWithSecret>();
  return (
    <Dialog title="New webhook" onClose={close}>
      {made ? (
        <Secret what="The secret that signs its deliveries" value={made.secret} close={close} />
      ) : (
        <Form
          submitName="Create the webhook"
          onCancel={close}
          submit={async () =>
            setMade(
              await post<WebhookWithSecret>("/webhooks", {
                url,
                events: events.split(/[\s,]+/).filter(Boolean),
                ...(description.trim() ? { description } : {}),
              }),
            )
          }
        >
          <TextField label="Address" type="url" value={url} onInput={setUrl} isRequired />
          <TextField
            label="Events"
            value={events}
            onInput={setEvents}
            isRequired
            hint="Names or patterns, such as batch.finished, task.failed, system.alert or batch.*"
          />
          <TextField label="Description (optional)" value={description} onInput={setDescription} />
        </Form>
      )}
    </Dialog>
  );
}
