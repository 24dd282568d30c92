import { textOrNull } from "../domain/answer.ts";
import { isJsonObject, type JsonObject, parseJson } from "../lib/json.ts";

/**
 * Assembles tool calls. The first piece of a call has its name; later ones append to its arguments. `index` says
 * which pieces belong together, but it is not enough: Google gives all calls the index 0, and others give none. A
 * piece with a name and another id, or with a name after complete arguments, begins a new call.
 */
export function createToolCalls() {
  const calls: { index: number | null; id: string | null; call: JsonObject; args: string }[] = [];

  function knownFor(index: number | null, id: string | null, name: string | null) {
    const known =
      index === null && id !== null
        ? calls.find((one) => one.id === id)
        : index === null
          ? calls.at(-1)
          : calls.findLast((one) => one.index === index);
    // Only a piece with a name can begin a call. Some servers give each piece of a call another id.
    if (!known || name === null) return known;
    if (id !== null && known.id !== null && id !== known.id) return undefined;
    const isWhole = known.args !== "" && parseJson(known.args) !== undefined;
    return id === null && isWhole ? undefined : known;
  }

  return {
    take(piece: JsonObject): void {
      const { index: at, function: reported, ...rest } = piece;
      const index = typeof at === "number" ? at : null;
      const id = textOrNull(piece["id"]);
      const fn = isJsonObject(reported) ? reported : {};
      const name = textOrNull(fn["name"]);
      const given = fn["arguments"];
      const args =
        typeof given === "string" ? given : isJsonObject(given) ? JSON.stringify(given) : "";
      const known = knownFor(index, id, name);
      if (!known) {
        calls.push({ index, id, call: { ...rest, function: fn }, args });
        return;
      }
      known.args += args;
      known.id ??= id;
      const before = isJsonObject(known.call["function"]) ? known.call["function"] : {};
      known.call = {
        ...known.call,
        ...(known.id === null ? {} : { id: known.id }),
        function: { ...fn, ...before, ...(textOrNull(before["name"]) ? {} : { name }) },
      };
    },
    all: (): JsonObject[] =>
      calls.map(({ call, args }) => {
        const fn = isJsonObject(call["function"]) ? call["function"] : {};
        return Object.assign({}, call, { function: { ...fn, arguments: args } });
      }),
  };
}
