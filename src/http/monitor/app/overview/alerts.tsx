import { alerts } from "../live/state.ts";
import { href } from "../shell/router.ts";
import { Card } from "../ui/panel.tsx";
import { Table } from "../ui/table.tsx";
import { Ago } from "../ui/time.tsx";

/** What the server has raised and not cleared; nothing where all is well. */
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

/** What an alert is about, with a link where its id says what it is. */
function Subject({ id }: { id: string }) {
  if (id.startsWith("wh-")) return <a href={href(["webhooks", id])}>{id}</a>;
  if (id.startsWith("sched-")) return <a href={href(["schedules", id])}>{id}</a>;
  if (id.startsWith("batch-")) return <a href={href(["batches", id])}>{id}</a>;
  return <>{id}</>;
}
