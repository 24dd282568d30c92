import { useState } from "preact/hooks";

import { may } from "../api/client.ts";
import type { Webhook } from "../api/wire.ts";
import { webhooks as live } from "../live/state.ts";
import { Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { Facts } from "../ui/table.tsx";
import { Ago, Time } from "../ui/time.tsx";
import { ChangeAndDelete, Enable, pathOf, RotateSecret, State, Test } from "./actions.tsx";
import { Deliveries } from "./deliveries.tsx";

/** A webhook and its deliveries. */
export function WebhookView({ id }: { id: string }) {
  const [sent, setSent] = useState(0);
  const webhook = useResource<Webhook>(pathOf(id), JSON.stringify(live.value));
  const refresh = () => {
    webhook.refresh();
    setSent((n) => n + 1);
  };
  return (
    <>
      <section class="card" aria-labelledby="webhook-title">
        <header>
          <h2 id="webhook-title">{webhook.data?.url ?? "Webhook"}</h2>
          {webhook.data && (
            <div class="actions">
              <State of={webhook.data} />
              <Test of={webhook.data} refresh={refresh} />
              <Enable of={webhook.data} refresh={refresh} />
              {may("write") && (
                <>
                  <RotateSecret of={webhook.data} />
                  <ChangeAndDelete of={webhook.data} />
                </>
              )}
            </div>
          )}
        </header>
        <div class="panel">
          <Shown of={webhook}>{(data) => <About webhook={data} />}</Shown>
        </div>
      </section>
      {webhook.data && <Deliveries id={id} sent={sent} />}
    </>
  );
}

function About({ webhook: one }: { webhook: Webhook }) {
  return (
    <>
      {one.disabledReason && <p class="error">{one.disabledReason}</p>}
      {one.description && <p dir="auto">{one.description}</p>}
      <Facts
        pairs={[
          ["Events", one.events.join(", ")],
          ["Failing", one.failingSince && <Ago at={one.failingSince} />],
          ["Created", <Time at={one.createdAt} />],
          ["Changed", <Time at={one.updatedAt} />],
          ["Id", one.id],
        ]}
      />
    </>
  );
}
