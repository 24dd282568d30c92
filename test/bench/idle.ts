/* A process that does nothing but notice how late it is (`stall-probe.ts`). */
import "./stall-probe.ts";

console.log("ready idle");
