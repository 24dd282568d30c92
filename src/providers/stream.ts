import type { Endpoint } from "../domain/request.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import type { StreamEvent } from "./event-lines.ts";
import { errorIn } from "./judge.ts";
import { createChoices } from "./stream-choices.ts";
import { createResponse } from "./stream-response.ts";

/** What a stream came to: the answer that would have come in one piece, an error, or half of one. */
export type Streamed =
  | { kind: "answer"; response: JsonObject }
  | { kind: "error"; body: Json }
  /** `said` is text that came beside the answer, perhaps the reason. */
  | { kind: "cut"; said: string | null };

/** Puts an answer together from what a stream brings; `result` is asked when it has ended. */
export type Assembler = {
  take(chunk: JsonObject): void;
  /** The provider said that it is done, in the answer itself. */
  isFinished(): boolean;
  /** What there is. `null`: nothing. */
  response(): JsonObject | null;
};

/** Reads a streamed answer event by event. */
export function createStreamReader(endpoint: Endpoint, onDelta: (text: string) => void) {
  const assembler =
    endpoint === "/v1/responses" ? createResponse(onDelta) : createChoices(endpoint, onDelta);
  let isDone = false;
  let error: Json | undefined;
  let said: string | null = null;

  function takeJson(value: Json, name: string | null): void {
    for (const chunk of Array.isArray(value) ? value : [value]) {
      const found = name === "error" ? chunk : errorIn(chunk);
      if (found !== undefined) error ??= found;
      else if (isJsonObject(chunk))
        assembler.take("type" in chunk || name === null ? chunk : { ...chunk, type: name });
    }
  }

  return {
    take(event: StreamEvent): void {
      if (event.kind === "done") isDone = true;
      else if (event.kind === "json") takeJson(event.value, event.name);
      else if (event.name === "error") error ??= event.text;
      else said ??= event.text;
    },
    /** What there is, is whole. */
    isWhole: () => assembler.isFinished() && assembler.response() !== null,
    /** What there is so far, whole or not. */
    partial: () => assembler.response(),
    /** Nothing that follows can matter. */
    isDone: () => isDone || error !== undefined,
    result(): Streamed {
      const response = assembler.response();
      if (response && assembler.isFinished()) return { kind: "answer", response };
      if (error !== undefined) return { kind: "error", body: error };
      if (response && isDone) return { kind: "answer", response };
      return { kind: "cut", said };
    },
  };
}
