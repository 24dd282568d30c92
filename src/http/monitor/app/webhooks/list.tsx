import { may } from "../api/client.ts";
import type { Page, Webhook } from "../api/wire.ts";
import { webhooks as live } from "../live/state.ts";
import { href } from "../shell/router.ts";
import { plural } from "../ui/format.ts";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { Table } from "../ui/table.tsx";
import { Ago } from "../ui/time.tsx";
import { Enable, State, Test } from "./actions.tsx";

export function WebhookList() {
  const cursor = useCursor();
  const list = useResource<Page<"webhooks", Webhook>>(
    `/webhooks?limit=25${cursor.query}`,
    JSON.stringify(live.value),
  );
  const waiting = live.value?.waiting ?? 0;
  return (
    <Card
      id="webhooks"
      title="Webhooks"
      isWide
      note={
        <span class="actions">
          {waiting > 0 && (
            <span class="quiet">{plural(waiting, "delivery waits", "deliveries wait")}</span>
          )}
          {may("write") && (
            <a class="button small primary" href="#/webhooks/new">
              New webhook
            </a>
          )}
        </span>
      }
    >
      <Shown of={list}>
        {({ webhooks, pagination }) =>
          webhooks.length === 0 ? (
            <Empty>No webhook yet. A webhook posts signed events to an address of yours.</Empty>
          ) : (
            <>
              <Webhooks all={webhooks} refresh={list.refresh} />
              <Pager cursor={cursor} of={pagination} />
            </>
          )
        }
      </Shown>
    </Card>
  );
}

function Webhooks({ all, refresh }: { all: Webhook[]; refresh: () => void }) {
  return (
    <Table
      label="Webhooks"
      isStacked
      columns={[
        { name: "Address", class: "name" },
        { name: "State" },
        { name: "Events", class: "wrap" },
        { name: "Since" },
        { name: "Actions", class: "act", hidden: true },
      ]}
      rows={all.map((one) => ({
        key: one.id,
        cells: [
          <>
            <a href={href(["webhooks", one.id])}>{one.url}</a>
            {one.description && (
              <div class="hint" dir="auto">
                {one.description}
              </div>
            )}
          </>,
          <State of={one} />,
          one.events.join(", "),
          <Ago at={one.failingSince ?? one.createdAt} />,
          <div class="buttons">
            <Test of={one} refresh={refresh} />
            <Enable of={one} refresh={refresh} />
          </div>,
        ],
      }))}
    />
  );
}
