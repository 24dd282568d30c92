import { useEffect, useState } from "preact/hooks";

import { connection, health } from "../live/state.ts";

const GOOD_MS = 5000;
const MOST_REASONS = 2;

/** Says when the connection is lost and when it is back, and why the system is not healthy. */
export function Banner() {
  const [wasDown, setWasDown] = useState(false);
  const state = connection.value;
  useEffect(() => {
    if (state === "down") setWasDown(true);
    if (state !== "live" || !wasDown) return undefined;
    const timer = setTimeout(() => setWasDown(false), GOOD_MS);
    return () => clearTimeout(timer);
  }, [state, wasDown]);
  const reasons = health.value?.reasons ?? [];
  return (
    <section aria-label="Messages">
      {state === "down" && (
        <p class="banner" role="alert">
          The connection to the server is down. You see the last reported state. The page reconnects
          by itself.
        </p>
      )}
      {state === "live" && wasDown && (
        <p class="banner good" role="status">
          Connected again; nothing was missed.
        </p>
      )}
      {reasons.length > 0 && (
        <ul class="banner" aria-label="Why it is not healthy">
          {reasons.slice(0, MOST_REASONS).map(({ service, reason }) => (
            <li key={`${service} ${reason}`}>
              {service}: {reason}
            </li>
          ))}
          {reasons.length > MOST_REASONS && (
            <li>
              <a href="#/alerts">and {reasons.length - MOST_REASONS} more</a>
            </li>
          )}
        </ul>
      )}
    </section>
  );
}
