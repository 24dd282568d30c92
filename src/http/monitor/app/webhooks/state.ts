import type { Webhook } from "../api/wire.ts";

export function stateOf({ isActive, disabledReason, failingSince }: Webhook): string {
  if (!isActive) return disabledReason ? "disabled" : "paused";
  return failingSince ? "failing" : "healthy";
}
