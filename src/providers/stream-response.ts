import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import type { Assembler } from "./stream.ts";

/** Assembles an answer of the Responses API. It comes complete at the end, but some proxies omit its output there. */
export function createResponse(onDelta: (text: string) => void): Assembler {
  let response: JsonObject | null = null;
  let text = "";
  const items: Json[] = [];

  function withOutput(whole: JsonObject): JsonObject {
    if (Array.isArray(whole["output"]) && whole["output"].length > 0) return whole;
    const said = {
      type: "message",
      role: "assistant",
      status: "completed",
      content: [{ type: "output_text", text, annotations: [] }],
    };
    return { ...whole, output: items.length > 0 ? items : text === "" ? [] : [said] };
  }

  return {
    take(event) {
      const type = String(event["type"]);
      if (type === "response.output_text.delta" && typeof event["delta"] === "string") {
        text += event["delta"];
        onDelta(event["delta"]);
      }
      if (type === "response.output_item.done" && isJsonObject(event["item"]))
        items.push(event["item"]);
      if (/^response\.(completed|incomplete)$/.test(type) && isJsonObject(event["response"]))
        response = withOutput(event["response"]);
      // Some servers answer in one piece although a stream was requested.
      if (event["object"] === "response" && Array.isArray(event["output"])) response = event;
    },
    isFinished: () => response !== null,
    response: () => response,
  };
}
