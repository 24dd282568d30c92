import { configure, getAnsiColorFormatter, getConsoleSink, type LogRecord } from "@logtape/logtape";

import type { Config } from "./config.ts";

/** Sends the program's log to the console: JSON lines for machines, or coloured text for people. */
export async function configureLogging({
  logLevel,
  logFormat,
}: Pick<Config, "logLevel" | "logFormat">): Promise<void> {
  const formatter =
    logFormat === "json" ? toJsonLine : getAnsiColorFormatter({ value: (value) => toText(value) });
  await configure({
    reset: true,
    sinks: { console: getConsoleSink({ formatter }) },
    loggers: [
      { category: "gptrunner", lowestLevel: logLevel, sinks: ["console"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["console"] },
    ],
  });
}

/** One record as a line of JSON: `time`, `level`, `logger`, `message`, and its properties beside them. */
function toJsonLine(record: LogRecord): string {
  const properties = Object.entries(record.properties).map(([name, value]) => [
    name,
    value instanceof Error ? describeError(value) : value,
  ]);
  return JSON.stringify({
    time: new Date(record.timestamp).toISOString(),
    level: record.level,
    logger: record.category.join("."),
    message: record.message.map(toText).join(""),
    ...Object.fromEntries(properties),
  });
}

function toText(value: unknown): string {
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  return typeof value === "string" ? value : JSON.stringify(value);
}

function describeError(error: Error): Record<string, unknown> {
  return {
    name: error.name,
    message: error.message,
    stack: error.stack,
    ...(error.cause instanceof Error ? { cause: describeError(error.cause) } : {}),
  };
}
