import { webhookTypes } from "../../src/services/deliveries.ts";
import type { LogRow } from "./history.ts";
import type { World } from "./world.ts";

type Row = { id: string; seq: number; url: string; events: string; createdCursor: number };

/**
 * Checks that a webhook received every event of `log` after its creation at least once, always under the same id, and
 * received nothing else.
 */
export async function checkDeliveries(
  { database, receivers, complain }: World,
  log: readonly LogRow[],
): Promise<void> {
  const { rows: found } = await database.truth.execute(
    `SELECT w.id, w.seq, w.url, w.events,
            (SELECT min(event) FROM webhook_deliveries WHERE webhook = w.seq) AS createdCursor
     FROM webhooks w WHERE w.is_active = 1`,
  );
  for (const row of found) {
    const webhook = row as unknown as Row;
    const types = new Set<string>((JSON.parse(webhook.events) as string[]).flatMap(webhookTypes));
    const received = receivers.received.get(webhook.url) ?? new Map<string, number>();
    const name = webhook.id.replace(/^wh-/, "");
    // The first delivery shows at which event it began.
    const expected = log.filter(
      ({ id, type }) =>
        types.has(type) && webhook.createdCursor !== null && id >= webhook.createdCursor,
    );
    for (const { id, type } of expected)
      if (!received.has(`evt-${name}-${id}`))
        complain(`webhook ${webhook.id} never got event ${id} (${type})`);
  }
}
