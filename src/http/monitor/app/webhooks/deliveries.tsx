import { useEffect, useState } from "preact/hooks";

import { may } from "../api/client.ts";
import type { Delivery, Page } from "../api/wire.ts";
import { ends, now, webhooks as live } from "../live/state.ts";
import { closeAbove, href, openAbove, replaceQuery, route } from "../shell/router.ts";
import { Badge } from "../ui/badge.tsx";
import { SelectField } from "../ui/field.tsx";
import { duration } from "../ui/format.ts";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Failed, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { num, Table } from "../ui/table.tsx";
import { Ago, Time } from "../ui/time.tsx";
import { pathOf } from "./actions.tsx";
import { DeliveryDrawer, Replay } from "./delivery.tsx";
import { ReplayMany } from "./replay-many.tsx";

/** The deliveries of a webhook, the latest first. `sent` changes when the page has sent something. */
export function Deliveries({ id, sent }: { id: string; sent: number }) {
  const { parts, query } = route.value;
  const status = query.get("status") ?? "";
  const shown = query.get("delivery");
  const cursor = useCursor();
  // The live stream has no single deliveries, so one in progress is polled until it has ended.
  const [underWay, setUnderWay] = useState(false);
  const revision = `${sent} ${ends.value} ${JSON.stringify(live.value)} ${underWay ? now.value : ""}`;
  const list = useResource<Page<"deliveries", Delivery>>(
    `${pathOf(id)}/deliveries?limit=25${status && `&status=${status}`}${cursor.query}`,
    revision,
  );
  const isUnderWay = list.data?.deliveries.some(isDue) ?? false;
  useEffect(() => setUnderWay(isUnderWay), [isUnderWay]);
  // The open one may be on another page, or leave this one while it is read.
  const single = useResource<Delivery>(
    shown && `${pathOf(id)}/deliveries/${encodeURIComponent(shown)}`,
    revision,
  );
  const found = list.data?.deliveries.find((one) => one.id === shown) ?? single.data;
  const search = Object.fromEntries(query);
  return (
    <Card
      id="deliveries"
      title="Deliveries"
      isWide
      note={may("write") && <ReplayMany id={id} refresh={list.refresh} />}
    >
      <div class="filters">
        <SelectField
          label="Status"
          value={status}
          onInput={(value) => replaceQuery({ status: value, cursor: undefined, page: undefined })}
          options={[["", "any"], "pending", "delivered", "failed"]}
        />
      </div>
      <Shown of={list}>
        {({ deliveries, pagination }) =>
          deliveries.length === 0 ? (
            <Empty>{status ? "No delivery matches." : "Nothing was sent yet."}</Empty>
          ) : (
            <>
              <Table
                label="Deliveries"
                isStacked
                columns={[
                  { name: "Event" },
                  { name: "When" },
                  { name: "Status" },
                  { name: "Answer", class: "wrap" },
                  num("Attempts"),
                  num("Took"),
                  { name: "Actions", class: "act", hidden: true },
                ]}
                rows={deliveries.map((one) => ({
                  key: one.id,
                  isChosen: one.id === shown,
                  cells: [
                    <a
                      href={href(parts, { ...search, delivery: one.id })}
                      onClick={(event) => {
                        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
                        event.preventDefault();
                        openAbove({ delivery: one.id });
                      }}
                    >
                      {one.type}
                    </a>,
                    <Time at={one.eventAt} />,
                    <Badge status={one.status} />,
                    <Answer of={one} />,
                    String(one.attempts.length),
                    one.latencyMs === null ? "" : duration(one.latencyMs / 1000),
                    <div class="buttons">
                      <Replay id={id} of={one} refresh={list.refresh} />
                    </div>,
                  ],
                }))}
              />
              <Pager cursor={cursor} of={pagination} />
            </>
          )
        }
      </Shown>
      {!found && single.error && <Failed error={single.error} retry={single.refresh} />}
      {found && (
        <DeliveryDrawer
          id={id}
          of={found}
          refresh={list.refresh}
          close={() => closeAbove({ delivery: undefined })}
        />
      )}
    </Card>
  );
}

const isDue = ({ status, nextAttemptAt }: Delivery) =>
  status === "pending" && (nextAttemptAt === null || Date.parse(nextAttemptAt) <= now.value);

function Answer({ of: { responseStatus, error, nextAttemptAt, status } }: { of: Delivery }) {
  return (
    <div>
      {error ? <span class="error">{error}</span> : (responseStatus ?? "")}
      {status === "pending" && nextAttemptAt && (
        <div class="hint">
          next attempt <Ago at={nextAttemptAt} />
        </div>
      )}
    </div>
  );
}
