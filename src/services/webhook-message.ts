import type { Webhook } from "../store/webhooks.ts";

/** The `webhook-id` of an event on its way to an endpoint: the same over all attempts, restarts and replays. */
export function messageId(
  webhook: Pick<Webhook, "id">,
  { event, at }: { event: number | null; at: number },
): string {
  return `evt-${webhook.id.replace(/^wh-/, "")}-${event ?? `test-${at}`}`;
}
