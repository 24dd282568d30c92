/* An idle process that only measures delays of its event loop (`stall-probe.ts`). */
import "./stall-probe.ts";

console.log("ready idle");
