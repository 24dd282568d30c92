import { may, post } from "../api/client.ts";
import type { Delivery } from "../api/wire.ts";
import { Action } from "../ui/action.tsx";
import { Badge } from "../ui/badge.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { duration } from "../ui/format.ts";
import { Facts, num, Table } from "../ui/table.tsx";
import { Ago, ExactTime } from "../ui/time.tsx";
import { toast } from "../ui/toast.tsx";
import { pathOf } from "./actions.tsx";

type Props = { id: string; of: Delivery; refresh: () => void };

export function Replay({ id, of: { id: delivery, type, status }, refresh }: Props) {
  if (!may("write") || status === "pending") return null;
  return (
    <Action
      label={`Replay ${type} ${delivery}`}
      run={async () => {
        await post(`${pathOf(id)}/deliveries/${delivery}/replay`);
        toast(`${type} is sent again`);
        refresh();
      }}
    >
      Replay
    </Action>
  );
}

/** The content of one delivery, and the answer. */
export function DeliveryDrawer({ id, of: one, refresh, close }: Props & { close: () => void }) {
  return (
    <Dialog
      title={one.type}
      kind="drawer"
      onClose={close}
      actions={<Replay id={id} of={one} refresh={refresh} />}
    >
      <p>
        <Badge status={one.status} /> {one.error && <span class="error">{one.error}</span>}
      </p>
      <Facts
        pairs={[
          ["Delivery", one.id],
          ["webhook-id", one.messageId],
          ["Event", one.eventId],
          ["Happened", <ExactTime at={one.eventAt} />],
          ["Ended", one.completedAt && <ExactTime at={one.completedAt} />],
          ["Next attempt", one.nextAttemptAt && <Ago at={one.nextAttemptAt} />],
        ]}
      />
      <h3>Attempts</h3>
      <Table
        label="Attempts"
        columns={[{ name: "Time" }, num("Status"), num("Took"), { name: "Error", class: "wrap" }]}
        rows={one.attempts.map((attempt) => ({
          key: attempt.at,
          cells: [
            <ExactTime at={attempt.at} />,
            String(attempt.status ?? "–"),
            duration(attempt.latencyMs / 1000),
            attempt.error ?? "",
          ],
        }))}
      />
      {one.response !== null && (
        <>
          <h3>Answer</h3>
          <pre dir="auto">{one.response === "" ? "(empty)" : one.response}</pre>
        </>
      )}
      <h3>Payload</h3>
      <pre dir="auto">{JSON.stringify(one.payload, null, 2)}</pre>
    </Dialog>
  );
}
