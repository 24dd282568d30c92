import {
  configure,
  getAnsiColorFormatter,
  getConsoleSink,
  getJsonLinesFormatter,
} from "@logtape/logtape";

import type { Config } from "./config.ts";

/** Sends the program's log to the console: JSON lines for machines, or coloured text for people. */
export async function configureLogging({
  logLevel,
  logFormat,
}: Pick<Config, "logLevel" | "logFormat">): Promise<void> {
  const formatter = logFormat === "json" ? getJsonLinesFormatter() : getAnsiColorFormatter();
  await configure({
    reset: true,
    sinks: { console: getConsoleSink({ formatter }) },
    loggers: [
      { category: "gptrunner", lowestLevel: logLevel, sinks: ["console"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["console"] },
    ],
  });
}
