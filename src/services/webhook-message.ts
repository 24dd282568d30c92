import type { Webhook } from "../store/webhooks.ts";

/** The `webhook-id` of an event for an endpoint: the same in all attempts, restarts and replays. */
export function messageId(
  webhook: Pick<Webhook, "id">,
  { event, at }: { event: number | null; at: number },
): string {
  return `evt-${webhook.id.replace(/^wh-/, "")}-${event ?? `test-${at}`}`;
}
