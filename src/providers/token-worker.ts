/// The entry of the worker thread that counts tokens. It does nothing else.

import { orCrash } from "../lib/background.ts";
import { createSystemClock } from "../lib/clock.ts";
import { measureAll, type ToMeasure } from "./token-measure.ts";

const clock = createSystemClock();

addEventListener("message", ({ data }: MessageEvent<ToMeasure>) => {
  // The owner starts another thread after an error.
  orCrash(
    clock,
    measureAll(data).then((measured) => postMessage(measured)),
  );
});
