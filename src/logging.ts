import process from "node:process";
import { isatty } from "node:tty";

import { configure, type LogRecord } from "@logtape/logtape";
import { redactByPattern } from "@logtape/redaction";

import type { Config } from "./config.ts";
import { createSystemClock } from "./lib/clock.ts";
import { createLineWriter, type LineWriter } from "./lib/line-writer.ts";
import { toJsonLine, toPrettyLine } from "./lib/log-format.ts";

/**
 * Sends the program's log to the console: JSON lines for machines, or coloured text for people. Warnings and errors
 * go to standard error, with `onlyStderr` all lines do. `secrets` are replaced wherever they occur in a line, as is whatever looks like a key.
 */
export async function configureLogging(
  { logLevel, logFormat }: Pick<Config, "logLevel" | "logFormat">,
  secrets: string[] = [],
  { onlyStderr = false } = {},
): Promise<void> {
  const pattern = { pattern: patternOf(secrets), replacement: "[redacted]" };
  const usual = onlyStderr ? STDERR : STDOUT;
  const toLine = logFormat === "json" ? toJsonLine : toPrettyLine(hasColours(usual));
  const format = redactByPattern(toLine, [pattern]);
  const sink = (record: LogRecord) => {
    const line = format(record);
    const { level } = record;
    if (level === "error" || level === "fatal") writerOf(STDERR).add(line, true);
    else writerOf(level === "warning" ? STDERR : usual).add(line);
  };
  await configure({
    reset: true,
    sinks: { console: sink },
    loggers: [
      { category: "gptrunner", lowestLevel: logLevel, sinks: ["console"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["console"] },
    ],
  });
}

const STDOUT = 1;
const STDERR = 2;

/** One writer per file descriptor, however often the log is configured. */
const writers = new Map<number, LineWriter>();

function writerOf(fd: number): LineWriter {
  const known = writers.get(fd);
  if (known) return known;
  const writer = createLineWriter(fd, createSystemClock());
  writers.set(fd, writer);
  return writer;
}

/** https://no-color.org */
function hasColours(fd: number): boolean {
  return isatty(fd) && !process.env["NO_COLOR"];
}

/** The secrets of the configuration, which no line may contain. */
export function secretsOf(config: Config): string[] {
  const { providers, databaseAuthToken, bucket } = config;
  return [
    ...config.apiKeys,
    ...config.encryptionKeys,
    ...providers.flatMap((provider) => (provider.kind === "openai" ? provider.apiKeys : [])),
    ...(databaseAuthToken === undefined ? [] : [databaseAuthToken]),
    ...(bucket ? [bucket.accessKeyId, bucket.secretAccessKey] : []),
  ];
}

/** Shorter secrets would match ordinary text in every line. */
const SHORTEST_SECRET = 6;
const LOOKS_SECRET = ["gtr_[0-9a-z]{40}", "whsec_[A-Za-z0-9+/=_-]{8,}", "\\bsk-[\\w-]{8,}"];

function patternOf(secrets: string[]): RegExp {
  const known = secrets
    .filter(({ length }) => length >= SHORTEST_SECRET)
    // As they are, and as they are escaped in JSON.
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)])
    .map((secret) => secret.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp([...known, ...LOOKS_SECRET].join("|"), "g");
}
