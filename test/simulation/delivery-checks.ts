import { rowsOf } from "../../src/db/unit.ts";
import { webhookTypes } from "../../src/services/deliveries.ts";
import type { LogRow } from "./history.ts";
import type { World } from "./world.ts";

type Row = {
  id: string;
  url: string;
  events: string;
  isActive: number;
  /** The event of the first delivery shows where the webhook began. */
  firstEvent: number | null;
};

/**
 * Checks that a webhook received every event of `log` after its creation at least once, always under the same id, and
 * received nothing else.
 */
export async function checkDeliveries(
  { database, receivers, history, complain }: World,
  log: readonly LogRow[],
): Promise<void> {
  const found = await database.truth.execute(
    `SELECT w.id, w.url, w.events, w.is_active AS isActive,
            (SELECT min(event) FROM webhook_deliveries WHERE webhook = w.seq) AS firstEvent
     FROM webhooks w`,
  );
  /** By URL, the ids that its webhooks may have sent. */
  const possible = new Map<string, Set<string>>();
  for (const { id: webhook, url, events, isActive, firstEvent } of rowsOf<Row>(found)) {
    const types = new Set<string>((JSON.parse(events) as string[]).flatMap(webhookTypes));
    const received = receivers.received.get(url) ?? new Map<string, number>();
    const ids = possible.get(url) ?? new Set<string>();
    possible.set(url, ids);
    const messageOf = (event: number) => `evt-${webhook.replace(/^wh-/, "")}-${event}`;
    const isFor = ({ id, type }: LogRow) =>
      types.has(type) && firstEvent !== null && id >= firstEvent;
    for (const { id } of history.rows.filter(isFor)) ids.add(messageOf(id));
    if (isActive === 0) continue;
    for (const { id, type } of log.filter(isFor))
      if (!received.has(messageOf(id)))
        complain(`webhook ${webhook} never got event ${id} (${type})`);
  }
  for (const [url, received] of receivers.received)
    for (const id of received.keys())
      if (possible.get(url)?.has(id) !== true) complain(`${url} got ${id}, which no event has`);
}
