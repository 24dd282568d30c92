import { useState } from "preact/hooks";

import { call, may, post } from "../api/client.ts";
import type { Delivery, Page, Webhook } from "../api/wire.ts";
import { webhooks as live } from "../live/state.ts";
import { go } from "../shell/router.ts";
import { Action } from "../ui/action.tsx";
import { Badge } from "../ui/badge.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { SelectField } from "../ui/field.tsx";
import { plural } from "../ui/format.ts";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { Secret } from "../ui/secret.tsx";
import { Facts, num, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { toast } from "../ui/toast.tsx";
import { stateOf } from "./state.ts";

/** A webhook with its deliveries: test, replay, rotate. */
export function WebhookPage({ id }: { id: string }) {
  const path = `/webhooks/${encodeURIComponent(id)}`;
  const webhook = useResource<Webhook>(path);
  const [status, setStatus] = useState("");
  const [secret, setSecret] = useState<string>();
  const cursor = useCursor();
  const { revision, waiting } = live.value ?? {};
  const deliveries = useResource<Page<"deliveries", Delivery>>(
    `${path}/deliveries?limit=25${status && `&status=${status}`}${cursor.query}`,
    `${revision} ${waiting}`,
  );
  const refresh = () => {
    webhook.refresh();
    deliveries.refresh();
  };
  return (
    <Shown of={webhook}>
      {(one) => (
        <>
          <section class="card" aria-labelledby="webhook-title">
            <header>
              <h2 id="webhook-title">{one.url}</h2>
              <div class="actions">
                <Badge status={stateOf(one)} />
                {may("write") && <Actions webhook={one} refresh={refresh} tell={setSecret} />}
              </div>
            </header>
            <div class="panel">
              <Facts
                pairs={[
                  ["Id", one.id],
                  ["Events", one.events.join(", ")],
                  ["Description", one.description],
                  ["Disabled", one.disabledReason],
                  ["Failing since", one.failingSince && <Time at={one.failingSince} />],
                  ["Created", <Time at={one.createdAt} />],
                ]}
              />
            </div>
          </section>
          <Card id="deliveries" title="Deliveries" isWide>
            <div class="filters">
              <SelectField
                label="Status"
                value={status}
                options={[["", "any"], "pending", "delivered", "failed"]}
                onInput={(value) => {
                  setStatus(value);
                  cursor.first();
                }}
              />
              {may("write") && (
                <Action
                  run={async () => {
                    const made = await post<{ deliveries: number }>(`${path}/replay`, {});
                    toast(`${plural(made.deliveries, "delivery", "deliveries")} again`);
                    refresh();
                  }}
                  sure="Really, all that failed?"
                >
                  Replay what failed
                </Action>
              )}
            </div>
            <Shown of={deliveries}>
              {(page) => <Deliveries path={path} page={page} cursor={cursor} refresh={refresh} />}
            </Shown>
          </Card>
          {secret && (
            <Dialog title="New secret" onClose={() => setSecret(undefined)}>
              <Secret
                what="The secret that signs its deliveries from now on"
                value={secret}
                close={() => setSecret(undefined)}
              />
            </Dialog>
          )}
        </>
      )}
    </Shown>
  );
}

type ActionsProps = { webhook: Webhook; refresh: () => void; tell: (secret: string) => void };

function Actions({ webhook, refresh, tell }: ActionsProps) {
  const path = `/webhooks/${encodeURIComponent(webhook.id)}`;
  return (
    <>
      <Action
        run={async () => {
          const { status, responseStatus, error } = await post<Delivery>(`${path}/test`);
          toast(
            `The test ${status === "delivered" ? "was delivered" : `failed: ${error}`}${responseStatus ? ` (${responseStatus})` : ""}`,
          );
          refresh();
        }}
      >
        Send a test
      </Action>
      <Action
        key="switch"
        run={async () => {
          await call("PATCH", path, { isActive: !webhook.isActive });
          refresh();
        }}
      >
        {webhook.isActive ? "Pause" : "Resume"}
      </Action>
      <Action
        sure="Really a new secret?"
        run={async () => tell((await post<{ secret: string }>(`${path}/rotate-secret`)).secret)}
      >
        Rotate the secret
      </Action>
      <Action
        sure="Really?"
        run={async () => {
          await call("DELETE", path);
          go("#/webhooks");
        }}
      >
        Delete
      </Action>
    </>
  );
}

type DeliveriesProps = {
  path: string;
  page: Page<"deliveries", Delivery>;
  cursor: ReturnType<typeof useCursor>;
  refresh: () => void;
};

function Deliveries({ path, page, cursor, refresh }: DeliveriesProps) {
  if (page.deliveries.length === 0) return <Empty>Nothing was delivered yet.</Empty>;
  return (
    <>
      <Table
        columns={[
          { name: "Event" },
          { name: "Status" },
          num("Answer"),
          { name: "Error", class: "wrap" },
          num("Attempts"),
          { name: "When" },
          { name: "Actions", hidden: true },
        ]}
        rows={page.deliveries.map((one) => ({
          key: one.id,
          cells: [
            <details>
              <summary>{one.type}</summary>
              <pre>{JSON.stringify(one.payload, null, 2)}</pre>
            </details>,
            <Badge status={one.status} />,
            one.responseStatus === null ? "" : `${one.responseStatus} in ${one.latencyMs} ms`,
            one.error ?? "",
            String(one.attempts.length),
            <Time at={one.completedAt ?? one.eventAt} />,
            may("write") && (
              <Action
                label={`Replay ${one.type}`}
                run={async () => {
                  await post(`${path}/deliveries/${encodeURIComponent(one.id)}/replay`);
                  toast(`${one.type} is sent again`);
                  refresh();
                }}
              >
                Replay
              </Action>
            ),
          ],
        }))}
      />
      <Pager cursor={cursor} of={page.pagination} />
    </>
  );
}
