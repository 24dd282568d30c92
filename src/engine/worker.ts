/// The entry of a worker thread. It makes provider calls and nothing else: no database, no HTTP server.

import { createSystemClock } from "../lib/clock.ts";
import { systemFiles } from "../lib/file-system.ts";
import { createSystemRandom } from "../lib/random.ts";
import { createCallRunner } from "./call-runner.ts";
import type { FromWorker, ToWorker } from "./protocol.ts";

const handle = createCallRunner((message: FromWorker) => postMessage(message), {
  clock: createSystemClock(),
  random: createSystemRandom(),
  fetch,
  files: systemFiles,
});
addEventListener("message", (event: MessageEvent<ToWorker>) => handle(event.data));
