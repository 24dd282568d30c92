import { useState } from "preact/hooks";

import { may } from "../api/client.ts";
import type { Page, Webhook } from "../api/wire.ts";
import { webhooks as live } from "../live/state.ts";
import { href, route } from "../shell/router.ts";
import { Badge } from "../ui/badge.tsx";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { NewWebhook } from "./form.tsx";
import { stateOf } from "./state.ts";
import { WebhookPage } from "./webhook.tsx";

export function Webhooks() {
  const [, id] = route.value.parts;
  return id === undefined ? <AllWebhooks /> : <WebhookPage key={id} id={id} />;
}

function AllWebhooks() {
  const cursor = useCursor();
  const [isOpen, setOpen] = useState(false);
  const list = useResource<Page<"webhooks", Webhook>>(
    `/webhooks?limit=25${cursor.query}`,
    `${live.value?.revision} ${live.value?.failing}`,
  );
  return (
    <Card
      id="webhooks"
      title="Webhooks"
      isWide
      note={
        may("write") && (
          <button type="button" class="small primary" onClick={() => setOpen(true)}>
            New webhook
          </button>
        )
      }
    >
      <Shown of={list}>
        {({ webhooks, pagination }) =>
          webhooks.length === 0 ? (
            <Empty>No webhook yet. One tells a program of yours when a batch has ended.</Empty>
          ) : (
            <>
              <Table
                columns={[
                  { name: "Address", class: "name" },
                  { name: "Events", class: "wrap" },
                  { name: "State" },
                ]}
                rows={webhooks.map((one) => ({
                  key: one.id,
                  cells: [
                    <a href={href(["webhooks", one.id])}>{one.url}</a>,
                    one.events.join(", "),
                    <>
                      <Badge status={stateOf(one)} />
                      {one.disabledReason && <div class="hint">{one.disabledReason}</div>}
                      {one.isActive && one.failingSince && (
                        <div class="hint">
                          failing since <Time at={one.failingSince} />
                        </div>
                      )}
                    </>,
                  ],
                }))}
              />
              <Pager cursor={cursor} of={pagination} />
            </>
          )
        }
      </Shown>
      {isOpen && (
        <NewWebhook
          close={() => {
            setOpen(false);
            list.refresh();
          }}
        />
      )}
    </Card>
  );
}
