import type { Context } from "../context.ts";
import { label } from "../lib/meters.ts";
import type { Tally } from "../store/rollups.ts";
import type { CallCount } from "./tally.ts";

/** Adds the calls and runs whose end was committed to the meters. */
export function meterTurn(meters: Context["meters"], calls: CallCount[], ended: Tally[]): void {
  for (const { provider, model, code, count } of calls)
    meters.add(
      "provider_requests_total",
      `${label("provider", provider)},${label("model", model)},${label("code", code)}`,
      count,
    );
  for (const { status, sums, buckets } of ended) {
    meters.add("tasks_total", label("status", status), sums.tasks);
    meters.add("task_attempts_total", "", sums.attempts);
    meters.add("cost_usd_total", "", sums.cost_usd);
    for (const type of ["prompt", "completion", "cached", "reasoning"] as const)
      meters.add("tokens_total", label("type", type), sums[`${type}_tokens`]);
    meters.observe("task_duration_seconds", buckets, sums.duration_ms / 1000);
  }
}
