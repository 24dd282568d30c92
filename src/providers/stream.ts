import type { Endpoint } from "../domain/request.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import type { StreamEvent } from "./event-lines.ts";
import { errorIn, looksLikeError } from "./judge.ts";
import { createChoices } from "./stream-choices.ts";
import { createResponse } from "./stream-response.ts";

/** The result of a stream: the complete answer, an error, or an incomplete answer. */
export type Streamed =
  | { kind: "answer"; response: JsonObject }
  | { kind: "error"; body: Json }
  /** `said` is text besides the answer, which may name the reason. */
  | { kind: "cut"; said: string | null };

/** Assembles an answer from the events of a stream. */
export type Assembler = {
  take(chunk: JsonObject): void;
  /** Whether the provider has marked the answer as finished. */
  isFinished(): boolean;
  /** The answer so far; `null`: nothing. */
  response(): JsonObject | null;
};

/** Reads a streamed answer event by event. */
export function createStreamReader(endpoint: Endpoint, onDelta: (text: string) => void) {
  const assembler =
    endpoint === "/v1/responses" ? createResponse(onDelta) : createChoices(endpoint, onDelta);
  let isDone = false;
  let error: Json | undefined;
  /** An event that may be an error or only a remark, which the end of the stream shows. */
  let remark: Json | undefined;
  let said: string | null = null;

  function takeJson(value: Json, name: string | null): void {
    for (const chunk of Array.isArray(value) ? value : [value]) {
      const found = name === "error" ? chunk : errorIn(chunk);
      if (found !== undefined) error ??= found;
      else if (looksLikeError(chunk)) remark ??= chunk;
      else if (isJsonObject(chunk))
        assembler.take("type" in chunk || name === null ? chunk : { ...chunk, type: name });
    }
  }

  return {
    take(event: StreamEvent): void {
      // What follows in the same piece of text counts as little as what would arrive later, which is not read.
      if (isDone || error !== undefined) return;
      if (event.kind === "done") isDone = true;
      else if (event.kind === "json") takeJson(event.value, event.name);
      else if (event.name === "error") error ??= event.text;
      else said ??= event.text;
    },
    /** Whether the answer is complete. */
    isWhole: () => assembler.isFinished() && assembler.response() !== null,
    /** The answer so far, complete or not. */
    partial: () => assembler.response(),
    /** Whether the rest of the stream can be ignored. */
    isDone: () => isDone || error !== undefined,
    result(): Streamed {
      const response = assembler.response();
      if (response && assembler.isFinished()) return { kind: "answer", response };
      if (error !== undefined) return { kind: "error", body: error };
      if (remark !== undefined) return { kind: "error", body: remark };
      if (response && isDone) return { kind: "answer", response };
      return { kind: "cut", said };
    },
  };
}
