import type { Clock } from "../lib/clock.ts";

/** After this time a state is reported again. */
const FOR_MS = 60_000;

/**
 * The last reported states of subjects. They are forgotten after a minute, because another process may have reported
 * another state since, and may have ended before it could correct that.
 */
export function createKnown<State>(clock: Pick<Clock, "monotonic">) {
  const known = new Map<string, { state: State; at: number }>();
  return {
    get(subject: string): State | undefined {
      const found = known.get(subject);
      return found && clock.monotonic() - found.at < FOR_MS ? found.state : undefined;
    },
    set(subject: string, state: State): void {
      known.set(subject, { state, at: clock.monotonic() });
    },
  };
}
