import type { Alert, Page } from "../api/wire.ts";
import { alerts } from "../live/state.ts";
import { href } from "../shell/router.ts";
import { Badge } from "../ui/badge.tsx";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Loading, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { Table } from "../ui/table.tsx";
import { Ago, Time } from "../ui/time.tsx";

/** Open alerts, from the live stream, and the history. */
export function Alerts() {
  return (
    <>
      <OpenAlerts />
      <History />
    </>
  );
}

function OpenAlerts() {
  const open = alerts.value;
  const all = Object.entries(open ?? {}).toSorted(([, a], [, b]) =>
    a.raisedAt < b.raisedAt ? -1 : 1,
  );
  return (
    <Card id="open-alerts" title="Open alerts" isWide>
      {!open && <Loading />}
      {open && all.length === 0 && <Empty>All clear.</Empty>}
      {all.length > 0 && (
        <Table
          label="Open alerts"
          isStacked
          columns={[
            { name: "Alert" },
            { name: "What is wrong, and what to do", class: "wrap" },
            { name: "About" },
            { name: "Raised" },
          ]}
          rows={all.map(([id, { code, subject, message, raisedAt }]) => ({
            key: id,
            cells: [
              <Badge status="failed">{code}</Badge>,
              message,
              <About code={code} subject={subject} />,
              <Ago at={raisedAt} />,
            ],
          }))}
        />
      )}
    </Card>
  );
}

function History() {
  const cursor = useCursor();
  const list = useResource<Page<"history", Alert>>(
    `/alerts?limit=25${cursor.query}`,
    // The object itself, because an alert that was cleared and raised again has the same key.
    alerts.value,
  );
  return (
    <Card id="alert-history" title="History" isWide>
      <Shown of={list}>
        {({ history, pagination }) =>
          history.length === 0 ? (
            <Empty>No alerts yet, as far back as the event log goes.</Empty>
          ) : (
            <>
              <Table
                label="Alert history"
                isStacked
                columns={[
                  { name: "Time" },
                  { name: "Status" },
                  { name: "Alert" },
                  { name: "Message", class: "wrap" },
                  { name: "About" },
                ]}
                rows={history.map(({ id, at, status, code, subject, message }) => ({
                  key: String(id),
                  cells: [
                    <Time at={at} />,
                    <Badge status={status === "raised" ? "failed" : "completed"}>{status}</Badge>,
                    code,
                    message,
                    <About code={code} subject={subject} />,
                  ],
                }))}
              />
              <Pager cursor={cursor} of={pagination} />
            </>
          )
        }
      </Shown>
    </Card>
  );
}

/** The pages of the subjects of alerts. */
const PLACES: Record<string, string> = {
  "webhook.disabled": "webhooks",
  "schedule.paused": "schedules",
  "budget.exceeded": "keys",
  "invariant.violated": "batches",
};

function About({ code, subject }: { code: string; subject: string | null | undefined }) {
  const place = PLACES[code];
  if (!subject) return <span class="quiet">the system</span>;
  return place ? <a href={href([place, subject])}>{subject}</a> : <>{subject}</>;
}
