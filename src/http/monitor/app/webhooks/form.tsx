import { useState } from "preact/hooks";

import { patch, post } from "../api/client.ts";
import type { NewWebhook, Webhook } from "../api/wire.ts";
import { go, href } from "../shell/router.ts";
import { Choices, TextField } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";
import { SecretOnce } from "../ui/secret.tsx";
import { toast } from "../ui/toast.tsx";
import { pathOf } from "./actions.tsx";
import { EVENTS, isEvent } from "./events.ts";

/** Makes a webhook, whose secret is shown once, or changes one. */
export function WebhookForm({ webhook }: { webhook?: Webhook }) {
  const [url, setUrl] = useState(webhook?.url ?? "");
  const [events, setEvents] = useState(
    webhook?.events ?? ["batch.completed", "batch.failed", "system.alert"],
  );
  const [description, setDescription] = useState(webhook?.description ?? "");
  const [made, setMade] = useState<NewWebhook>();
  /** Names without a choice, such as `batch.finished`, are kept. */
  const others = events.filter((name) => !isEvent(name));

  async function submit(): Promise<void> {
    const body = { url: url.trim(), events, description: description.trim() || null };
    if (!webhook) return setMade(await post<NewWebhook>("/webhooks", body));
    await patch(pathOf(webhook.id), body);
    toast("The webhook is changed");
    go(href(["webhooks", webhook.id]));
  }

  return (
    <section class="card narrow" aria-labelledby="webhook-form">
      <header>
        <h2 id="webhook-form">{webhook ? "Change a webhook" : "New webhook"}</h2>
      </header>
      <div class="panel">
        <Form
          submitName={webhook ? "Save" : "Create"}
          onCancel={() => go(href(webhook ? ["webhooks", webhook.id] : ["webhooks"]))}
          submit={submit}
        >
          <TextField
            label="Address"
            name="url"
            hint="Events are posted to it as JSON, signed with the secret"
            type="url"
            value={url}
            onInput={setUrl}
            placeholder="https://example.com/hook"
            isRequired
          />
          <Choices
            label="Events"
            name="events"
            options={EVENTS}
            chosen={events.filter(isEvent)}
            onInput={(chosen) => setEvents([...chosen, ...others])}
            hint={others.length > 0 && `and ${others.join(", ")}`}
          />
          <TextField
            label="Description"
            name="description"
            value={description}
            onInput={setDescription}
          />
        </Form>
      </div>
      {made && (
        <SecretOnce
          title="The webhook is created"
          label="Secret"
          secret={made.secret}
          onClose={() => go(href(["webhooks", made.id]))}
        />
      )}
    </section>
  );
}
