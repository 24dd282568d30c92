import { alerts } from "../live/state.ts";
import { href } from "../shell/router.ts";
import { Card } from "../ui/panel.tsx";
import { Table } from "../ui/table.tsx";
import { Ago } from "../ui/time.tsx";

/** The open alerts; nothing if there are none. */
export function Alerts() {
  const open = Object.entries(alerts.value ?? {});
  if (open.length === 0) return null;
  return (
    <Card id="alerts" title="Alerts" isWide>
      <Table
        label="Alerts"
        isStacked
        columns={[
          { name: "Alert" },
          { name: "What to do", class: "wrap" },
          { name: "About" },
          { name: "Since" },
        ]}
        rows={open
          .toSorted(([, a], [, b]) => (a.raisedAt < b.raisedAt ? -1 : 1))
          .map(([key, { code, message, subject, raisedAt }]) => ({
            key,
            cells: [code, message, subject ? <Subject id={subject} /> : "", <Ago at={raisedAt} />],
          }))}
      />
    </Card>
  );
}

/** The subject of an alert, with a link if its kind is known. */
function Subject({ id }: { id: string }) {
  if (id.startsWith("wh-")) return <a href={href(["webhooks", id])}>{id}</a>;
  if (id.startsWith("sched-")) return <a href={href(["schedules", id])}>{id}</a>;
  if (id.startsWith("batch-")) return <a href={href(["batches", id])}>{id}</a>;
  return <>{id}</>;
}
