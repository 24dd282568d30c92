import { isJsonObject, parseJson } from "../lib/json.ts";
import type { EventType, LoggedEvent } from "./event.ts";

/** The events of OpenAI's webhooks that this program sends. */
export const OPENAI_EVENT_TYPES = [
  "batch.completed",
  "batch.failed",
  "batch.expired",
  "batch.cancelled",
] as const;
type OpenAiEventType = (typeof OPENAI_EVENT_TYPES)[number];

/** The OpenAI events that an event of the log can become. */
export function openAiTypesFor(type: EventType): readonly OpenAiEventType[] {
  if (type === "batch.completed") return ["batch.completed"];
  if (type === "batch.failed") return ["batch.failed", "batch.completed"];
  return type === "batch.cancelled" ? ["batch.cancelled", "batch.expired"] : [];
}

/**
 * The OpenAI event for an event of the log. `batch.failed` means only that the input file was refused; a batch whose
 * requests all failed, or which expired, has another event.
 */
export function openAiTypeOf({ type, data }: LoggedEvent): OpenAiEventType | null {
  const facts = parseJson(data ?? "");
  const { total = 0, expired = false } = isJsonObject(facts) ? facts : {};
  if (type === "batch.completed") return expired === true ? "batch.expired" : "batch.completed";
  if (type === "batch.failed") return total === 0 ? "batch.failed" : "batch.completed";
  if (type !== "batch.cancelled") return null;
  return expired === true ? "batch.expired" : "batch.cancelled";
}

/** The body of a message (https://platform.openai.com/docs/guides/webhooks). */
export function openAiEventBody(event: {
  id: string;
  type: string;
  at: number;
  batch: string;
}): string {
  const { id, type, at, batch } = event;
  const created_at = Math.floor(at / 1000);
  return JSON.stringify({ id, object: "event", created_at, type, data: { id: batch } });
}
