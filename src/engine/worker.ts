/// The entry of a worker thread. It makes provider calls and nothing else: no database, no HTTP server.

import { createCallRunner } from "./call-runner.ts";
import type { FromWorker, ToWorker } from "./protocol.ts";

const handle = createCallRunner((message: FromWorker) => postMessage(message));
addEventListener("message", (event: MessageEvent<ToWorker>) => handle(event.data));
