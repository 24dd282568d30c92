import { configure, getAnsiColorFormatter, getConsoleSink, type LogRecord } from "@logtape/logtape";

import type { Config } from "./config.ts";

/**
 * Sends the program's log to the console: JSON lines for machines, or coloured text for people.
 * `secrets` are blanked wherever they stand in a line, as is whatever looks like a key.
 */
export async function configureLogging(
  { logLevel, logFormat }: Pick<Config, "logLevel" | "logFormat">,
  secrets: string[] = [],
): Promise<void> {
  const format =
    logFormat === "json" ? toJsonLine : getAnsiColorFormatter({ value: (value) => toText(value) });
  const pattern = redactionOf(secrets);
  const formatter = (record: LogRecord) => format(record).replace(pattern, "[redacted]");
  await configure({
    reset: true,
    sinks: { console: getConsoleSink({ formatter }) },
    loggers: [
      { category: "gptrunner", lowestLevel: logLevel, sinks: ["console"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["console"] },
    ],
  });
}

/** What no line may hold, from the configuration. */
export function secretsOf(config: Config): string[] {
  const { providers, databaseAuthToken } = config;
  return [
    ...config.apiKeys,
    ...config.encryptionKeys,
    ...providers.flatMap((provider) => (provider.kind === "openai" ? provider.apiKeys : [])),
    ...(databaseAuthToken === undefined ? [] : [databaseAuthToken]),
  ];
}

/** Shorter ones would blank half of every line. */
const SHORTEST_SECRET = 6;
const LOOKS_SECRET = ["gtr_[0-9a-z]{40}", "whsec_[A-Za-z0-9+/=_-]{8,}", "\\bsk-[\\w-]{8,}"];

function redactionOf(secrets: string[]): RegExp {
  const known = secrets
    .filter(({ length }) => length >= SHORTEST_SECRET)
    // As they are, and as they stand in a JSON text.
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)])
    .map((secret) => secret.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp([...known, ...LOOKS_SECRET].join("|"), "g");
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
  if (value instanceof Error) return `${value.name}: ${withoutValues(value.message)}`;
  return typeof value === "string" ? value : JSON.stringify(value);
}

function describeError(error: Error): Record<string, unknown> {
  return {
    name: error.name,
    message: withoutValues(error.message),
    stack: withoutValues(error.stack ?? ""),
    ...(error.cause instanceof Error ? { cause: describeError(error.cause) } : {}),
  };
}

/** Without the values that a query was given, which Drizzle names after it. */
function withoutValues(text: string): string {
  return text.replace(/\nparams: .*/g, "");
}
