import { now } from "../live/state.ts";
import { ago, exactTime, time } from "./format.ts";

type Given = { at: string | null | undefined; none?: string };

/** In the reader's time zone, with UTC when hovered over. */
export function Time({ at, none = "–" }: Given) {
  if (!at) return <>{none}</>;
  return (
    <time dateTime={at} title={`${at.replace("T", " ").replace("Z", "")} UTC`}>
      {time(at)}
    </time>
  );
}

export function ExactTime({ at, none = "–" }: Given) {
  if (!at) return <>{none}</>;
  return (
    <time dateTime={at} title={`${at} (UTC)`}>
      {exactTime(at)}
    </time>
  );
}

/** How long ago it was or how long it will take, with the time itself when hovered over. */
export function Ago({ at, none = "–" }: Given) {
  if (!at) return <>{none}</>;
  return (
    <time dateTime={at} title={`${time(at)} · ${at} (UTC)`}>
      {ago(at, now.value)}
    </time>
  );
}
