import { type Json, parseJson } from "../lib/json.ts";
import { repairJson } from "./loose-json.ts";

/** The content of a line of a stream, under the event's name: JSON, or else its text. */
export type StreamEvent =
  | { kind: "done" }
  | { kind: "json"; name: string | null; value: Json }
  | { kind: "text"; name: string | null; text: string };

/**
 * Reads server-sent events from text in pieces. It accepts more than the standard, because servers send it: events
 * without a blank line at the end, an unfinished last line, lines of JSON without `data:`, and `error:` instead of
 * it.
 */
export function createEventLines(onEvent: (event: StreamEvent) => void): {
  feed(text: string): void;
  end(): void;
} {
  let rest = "";
  let name: string | null = null;
  /** Data of several lines, which are JSON only together. */
  let pending: string | null = null;

  function report(text: string): boolean {
    if (text.trim() === "[DONE]") onEvent({ kind: "done" });
    else {
      const value = parseJson(text) ?? parseJson(repairJson(text));
      if (value === undefined) return false;
      onEvent({ kind: "json", name, value });
    }
    return true;
  }

  function endEvent(): void {
    if (pending?.trim()) onEvent({ kind: "text", name, text: pending });
    pending = null;
    name = null;
  }

  function takeLine(line: string): void {
    if (line.trim() === "") return endEvent();
    const [, field, value = ""] = FIELD.exec(line) ?? [];
    if (field === "event") name = value;
    else if (field === "data" || field === "error") {
      if (field === "error") name = "error";
      const text: string = pending === null ? value : `${pending}\n${value}`;
      pending = report(text) ? null : text;
    } else if (/^\s*[{[]/.test(line) && field === undefined) report(line);
    else if (field === undefined && !line.startsWith(":"))
      pending = pending === null ? line : `${pending}\n${line}`;
  }

  return {
    feed(text) {
      const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) takeLine(line);
    },
    end() {
      if (rest !== "") takeLine(rest.replace(/\r$/, ""));
      rest = "";
      endEvent();
    },
  };
}

const FIELD = /^(event|data|id|retry|error): ?(.*)$/s;
