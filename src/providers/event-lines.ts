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
  /** The pieces of a line that has not ended. They are joined only once, at its end. */
  let held: string[] = [];
  let name: string | null = null;
  /** The data of an event over several lines, which is valid JSON only as a whole. */
  let pending: string | null = null;
  let pendingLines = 0;

  function report(text: string): boolean {
    if (/^\s*"?\[DONE\]"?\s*$/i.test(text)) onEvent({ kind: "done" });
    else {
      const value = parseJson(text) ?? parseJson(repairJson(text));
      if (value === undefined) return false;
      onEvent({ kind: "json", name, value });
    }
    return true;
  }

  function endEvent(): void {
    if (pending?.trim() && (isShort(pending) || !report(pending)))
      onEvent({ kind: "text", name, text: pending });
    setPending(null);
    name = null;
  }

  function setPending(text: string | null): void {
    pending = text;
    pendingLines = text === null ? 0 : pendingLines + 1;
  }

  /** Whether to try parsing after each further line. A longer event is parsed only once, at its end. */
  function isShort(text: string): boolean {
    return pendingLines < MOST_TRIED_LINES && text.length < MOST_TRIED;
  }

  function takeLine(line: string): void {
    if (line.trim() === "") return endEvent();
    const [, field, sent = ""] = FIELD.exec(line) ?? [];
    // Proxies that wrap a stream once more write the field's name twice.
    const value = sent.replace(/^(data: ?)+/, "");
    if (field === "event") name = value;
    else if (field === "data" || field === "error") {
      if (field === "error") name = "error";
      const text: string = pending === null ? value : `${pending}\n${value}`;
      const isRead = (pending === null || isShort(text)) && report(text);
      setPending(isRead ? null : text);
    } else if (/^\s*[{[]/.test(line) && field === undefined) report(line);
    else if (field === undefined && !line.startsWith(":"))
      setPending(pending === null ? line : `${pending}\n${line}`);
  }

  return {
    feed(text) {
      const wasReturn = held.at(-1)?.endsWith("\r") === true;
      if (text !== "") held.push(text);
      if (!wasReturn && !/[\r\n]/.test(text)) return;
      const lines = held.join("").split(/\r\n|\n|\r(?!$)/);
      held = [lines.pop() ?? ""];
      for (const line of lines) takeLine(line);
    },
    end() {
      const rest = held.join("");
      if (rest !== "") takeLine(rest.replace(/\r$/, ""));
      held = [];
      endEvent();
    },
  };
}

/** The most lines, and the most characters, of an event that is tried as JSON before its end. */
const MOST_TRIED_LINES = 100;
const MOST_TRIED = 100_000;
const FIELD = /^(event|data|id|retry|error): ?(.*)$/s;
