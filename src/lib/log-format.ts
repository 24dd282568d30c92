import { inspect } from "node:util";

import type { LogRecord } from "@logtape/logtape";

/** One record as a line of JSON: `time`, `level`, `logger`, `message`, and its properties beside them. */
export function toJsonLine(record: LogRecord): string {
  const line: Record<string, unknown> = {
    time: isoTime(record.timestamp),
    level: record.level,
    logger: record.category.join("."),
    message: record.message.map(toText).join(""),
  };
  for (const [name, value] of Object.entries(record.properties))
    line[name] = value instanceof Error ? describeError(value) : value;
  // JSON escapes only the first 32 characters; terminals interpret more control characters.
  return printable(JSON.stringify(line));
}

type Level = LogRecord["level"];

const SHORT: Record<Level, string> = {
  trace: "TRC",
  debug: "DBG",
  info: "INF",
  warning: "WRN",
  error: "ERR",
  fatal: "FTL",
};
const COLOURS: Record<Level, number> = {
  trace: 90,
  debug: 90,
  info: 32,
  warning: 33,
  error: 31,
  fatal: 31,
};
const DIM = 2;

/**
 * One record for a person: the time of day, the message, and faintly what it does not say itself.
 * The stack of an error follows, indented.
 */
export function toPrettyLine(hasColours: boolean): (record: LogRecord) => string {
  const paint = (code: number, text: string) =>
    hasColours ? `\u001B[${code}m${text}\u001B[0m` : text;
  return ({ timestamp, level, category, message, rawMessage, properties }) => {
    const template = typeof rawMessage === "string" ? rawMessage : rawMessage.join("");
    const others = Object.entries(properties).filter(([name]) => !template.includes(`{${name}}`));
    const text = printable(message.map(toText).join(""));
    const facts = printable(others.map(([name, value]) => `${name}=${toText(value)}`).join(" "));
    const stacks = Object.values(properties)
      .filter((value) => value instanceof Error)
      .map((error) => `\n${paint(DIM, printable(stackOf(error), "\n"))}`);
    return [
      paint(DIM, isoTime(timestamp).slice(11, 23)),
      paint(COLOURS[level], SHORT[level]),
      paint(DIM, (category.at(-1) ?? "").padEnd(10)),
      text,
      ...(facts === "" ? [] : [paint(DIM, facts)]),
    ]
      .join(" ")
      .concat(...stacks);
  };
}

/**
 * Characters that a terminal interprets instead of showing: control characters, and those that change the direction
 * of text.
 */
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/gu;

/** Escapes unprintable characters as JSON does, so that no text can forge a log line; the character `but` is kept. */
function printable(text: string, but = ""): string {
  return text.replace(UNPRINTABLE, (character) =>
    character === but
      ? character
      : `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}

let lastMs = Number.NaN;
let lastTime = "";

/** Cached, because many lines are of the same millisecond. */
function isoTime(ms: number): string {
  if (ms !== lastMs) {
    lastMs = ms;
    lastTime = new Date(ms).toISOString();
  }
  return lastTime;
}

function toText(value: unknown): string {
  if (value instanceof Error) return `${value.name}: ${withoutValues(value.message)}`;
  return typeof value === "string" ? value : JSON.stringify(value);
}

function stackOf(error: Error, depth = 0): string {
  const stack = withoutValues(error.stack ?? "");
  const others = reasonsOf(error, depth).map((reason) =>
    reason instanceof Error ? stackOf(reason, depth + 1) : inspect(reason),
  );
  return [stack, ...others].join("\ncaused by ").replace(/^/gm, "  ");
}

function describeError(error: Error, depth = 0): Record<string, unknown> {
  const reasons = reasonsOf(error, depth).map((reason) =>
    reason instanceof Error ? describeError(reason, depth + 1) : inspect(reason),
  );
  return {
    name: error.name,
    message: withoutValues(error.message),
    stack: withoutValues(error.stack ?? ""),
    ...(reasons.length === 0
      ? {}
      : error instanceof AggregateError
        ? { errors: reasons }
        : { cause: reasons[0] }),
  };
}

/** Causes may form a cycle. */
const DEEPEST = 5;

function reasonsOf(error: Error, depth: number): unknown[] {
  if (depth >= DEEPEST) return [];
  if (error instanceof AggregateError) return error.errors;
  return error.cause === undefined ? [] : [error.cause];
}

/** Removes the parameters of a query, which Drizzle appends to its message. */
function withoutValues(text: string): string {
  return text.replace(/\nparams: .*/g, "");
}
