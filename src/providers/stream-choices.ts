import { contentText, objectsIn, textOrNull, thoughtText } from "../domain/answer.ts";
import { finishWordIn } from "../domain/finish.ts";
import type { Endpoint } from "../domain/request.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { createToolCalls } from "./stream-tools.ts";
import type { Assembler } from "./stream.ts";

/** Assembles chat completions and completions from their chunks. */
export function createChoices(endpoint: Endpoint, onDelta: (text: string) => void): Assembler {
  const head: JsonObject = {};
  let usage: Json = null;
  let hasLastUsage = false;
  const choices = new Map<number, Choice>();

  function choiceAt(index: Json | undefined): Choice {
    const at = typeof index === "number" ? index : 0;
    let choice = choices.get(at);
    if (!choice) choices.set(at, (choice = createChoice(at, at === 0 ? onDelta : () => {})));
    return choice;
  }

  return {
    take(chunk) {
      const { choices: parts, usage: reported, object: _object, type: _type, ...rest } = chunk;
      // Azure's first chunk has these members, but neither model nor choices.
      for (const [key, value] of Object.entries(rest)) if (!head[key]) head[key] = value;
      const found = objectsIn(parts);
      const inChoice = found.find((part) => isJsonObject(part["usage"]))?.["usage"];
      const groq = isJsonObject(chunk["x_groq"]) ? chunk["x_groq"]["usage"] : undefined;
      const latest = [reported, inChoice, groq].find(isJsonObject);
      if (latest) usage = latest;
      if (latest && found.length === 0 && choices.size > 0) hasLastUsage = true;
      for (const part of found) choiceAt(part["index"]).take(part);
    },
    isFinished: () =>
      choices.size > 0 &&
      (hasLastUsage || [...choices.values()].every((choice) => choice.finish() !== null)),
    response() {
      if (choices.size === 0) return null;
      const all = [...choices].toSorted(([a], [b]) => a - b).map(([, choice]) => choice);
      return endpoint === "/v1/completions"
        ? { ...head, object: "text_completion", choices: all.map((one) => one.asText()), usage }
        : { ...head, object: "chat.completion", choices: all.map((one) => one.asChat()), usage };
    },
  };
}

type Choice = ReturnType<typeof createChoice>;

function createChoice(index: number, onDelta: (text: string) => void) {
  let content: string | null = null;
  let reasoning: string | null = null;
  let refusal: string | null = null;
  let finish: string | null = null;
  const calls = createToolCalls();
  const media = createMedia();

  return {
    finish: () => finish,
    take(part: JsonObject): void {
      const { delta, message } = part;
      // Some servers send the whole message again at the end.
      const isWhole = !isJsonObject(delta) && isJsonObject(message);
      const piece = isJsonObject(delta) ? delta : isJsonObject(message) ? message : {};
      const text = contentText(piece["content"]) ?? textOrNull(part["text"]);
      if (text !== null && !(isWhole && content)) {
        content = (content ?? "") + text;
        if (text !== "") onDelta(text);
      }
      const thought =
        textOrNull(piece["reasoning_content"]) ??
        textOrNull(piece["reasoning"]) ??
        textOrNull(piece["thinking"]) ??
        thoughtText(piece["content"]);
      if (thought !== null && !(isWhole && reasoning)) reasoning = (reasoning ?? "") + thought;
      const said = textOrNull(piece["refusal"]);
      if (said !== null && !(isWhole && refusal)) refusal = (refusal ?? "") + said;
      const made = piece["tool_calls"];
      for (const call of isJsonObject(made) ? [made] : objectsIn(made)) calls.take(call);
      media.take(piece);
      // `function_call`, the predecessor of `tool_calls`.
      if (isJsonObject(piece["function_call"]))
        calls.take({ index: 0, type: "function", function: piece["function_call"] });
      finish = finishWordIn(part) ?? finish;
    },
    asText: (): JsonObject => ({ index, text: content, logprobs: null, finish_reason: finish }),
    asChat(): JsonObject {
      const made = calls.all();
      return {
        index,
        message: {
          role: "assistant",
          content,
          refusal,
          ...(reasoning === null ? {} : { reasoning_content: reasoning }),
          ...(made.length > 0 ? { tool_calls: made } : {}),
          ...media.all(),
        },
        finish_reason: finish,
      };
    },
  };
}

/** Assembles the images and the speech of a message. */
function createMedia() {
  const images: JsonObject[] = [];
  // A Map, because a member may be called `__proto__`.
  const audio = new Map<string, Json>();
  return {
    take(piece: JsonObject): void {
      for (const image of objectsIn(piece["images"])) images.push(image);
      const part = isJsonObject(piece["audio"]) ? piece["audio"] : {};
      for (const [key, value] of Object.entries(part)) {
        const before = audio.get(key);
        const isText = key === "data" || key === "transcript";
        audio.set(key, isText && typeof before === "string" ? before + String(value) : value);
      }
    },
    all: (): JsonObject => ({
      ...(images.length > 0 ? { images } : {}),
      ...(audio.size > 0 ? { audio: Object.fromEntries(audio) } : {}),
    }),
  };
}
