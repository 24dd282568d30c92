import type { Webhook } from "../api/wire.ts";
import { route } from "../shell/router.ts";
import { Scoped } from "../shell/sections.tsx";
import { Card, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { pathOf } from "./actions.tsx";
import { WebhookForm } from "./form.tsx";
import { WebhookList } from "./list.tsx";
import { WebhookView } from "./webhook.tsx";

/** `#/webhooks`, `#/webhooks/new`, `#/webhooks/ID` and `#/webhooks/ID/edit`. */
export function Webhooks() {
  const [, id, verb] = route.value.parts;
  if (id === undefined) return <WebhookList />;
  if (id === "new" || verb === "edit")
    return (
      <Scoped needs="write" what={id === "new" ? "New webhook" : "Change a webhook"}>
        {id === "new" ? <WebhookForm /> : <ChangeWebhook key={id} id={id} />}
      </Scoped>
    );
  return <WebhookView key={id} id={id} />;
}

function ChangeWebhook({ id }: { id: string }) {
  const webhook = useResource<Webhook>(pathOf(id));
  return webhook.data ? (
    <WebhookForm webhook={webhook.data} />
  ) : (
    <Card id="change" title="Change a webhook">
      <Shown of={webhook}>{() => null}</Shown>
    </Card>
  );
}
