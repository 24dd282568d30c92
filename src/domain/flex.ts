import type { JsonObject } from "../lib/json.ts";

/** The tiers of service that a task may ask for, in OpenAI's words. */
export const SERVICE_TIERS = ["auto", "default", "flex", "priority"] as const;
export type ServiceTier = (typeof SERVICE_TIERS)[number];

/*
 * Flex costs half of the standard tier and is served when there is room. So a run that asks for it
 *
 *   waits      in a lane of its own, whose calls have a pacer of their own: that there is no room for
 *              flex says nothing of other calls. A call may take fifteen minutes.
 *   falls back when its deadline has passed, or it was refused a hundred times: it moves to the lane of
 *              its model, and the request is sent without `service_tier`. The execution says so.
 *
 * The tier that the answer names decides what the answer costs.
 */

/** Time for one call (OpenAI's guide to flex processing advises it), unless the task sets its own. */
export const FLEX_TIMEOUT_MS = 900_000;
/** Default for how many minutes a task waits for flex: as long as an OpenAI batch may take. */
export const FLEX_DEADLINE_MINUTES = 1440;

/** What an execution lists in `adjusted` if its request was sent at the standard tier in the end. */
export const FLEX_GIVEN_UP = "service_tier flex omitted: no capacity in time";

/** Suffix of the model in the name of a flex lane. No model of a task may contain it. */
export const FLEX_MARK = "\u001fflex";

/** The lane of a model's tasks, within its batch or the single tasks. */
export function laneOfModel(model: string, isFlex: boolean): string {
  return isFlex ? model + FLEX_MARK : model;
}

/** The model and the tier of a lane, from its name. */
export function readLaneName(name: string): { model: string; isFlex: boolean } {
  return name.endsWith(FLEX_MARK)
    ? { model: name.slice(0, -FLEX_MARK.length), isFlex: true }
    : { model: name, isFlex: false };
}

export function tierOf(body: JsonObject): ServiceTier | null {
  return SERVICE_TIERS.find((tier) => tier === body["service_tier"]) ?? null;
}

/** How long a request waits for flex, in minutes; `null` if it does not request flex. */
export function flexMinutesOf(body: JsonObject, asked: number | null | undefined): number | null {
  return tierOf(body) === "flex" ? (asked ?? FLEX_DEADLINE_MINUTES) : null;
}
