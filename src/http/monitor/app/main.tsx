import { effect, untracked } from "@preact/signals";
import { render } from "preact";

import { key } from "./api/client.ts";
import { connection } from "./live/state.ts";
import { follow } from "./live/stream.ts";
import { App } from "./shell/app.tsx";

/** The longest delay of the first frame, which a slow server must not cause to stay blank. */
const LONGEST_MS = 200;

// The page follows the live stream while a user is logged in.
effect(() => (key.value === undefined ? undefined : untracked(follow)));

void start();

async function start(): Promise<void> {
  const root = document.getElementById("app");
  if (!root) return;
  // The state usually arrives before this script. One frame with figures is shown sooner than a frame without them and then
  // another.
  if (key.value !== undefined) await Promise.race([isConnected(), wait(LONGEST_MS)]);
  render(<App />, root);
}

function isConnected(): Promise<void> {
  return new Promise((resolve) => {
    effect(() => {
      if (connection.value !== "opening") resolve();
    });
  });
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
