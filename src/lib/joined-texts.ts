/*
 * Lists of values in messages between threads, with all their texts joined to one. A structured clone makes an
 * identifier of each text, which takes one or two microseconds whatever its length; a text that is cut from another takes
 * a tenth of that.
 *
 * A text that is cut from another keeps all of it in memory. So this is only for values that are soon dropped together.
 */

/** `undefined` stands for the next text; no value of a database is `undefined`. */
export type Joined = { lists: unknown[][]; text: string; lengths: number[] };

export function joinTexts(lists: readonly (readonly unknown[])[]): Joined {
  const texts: string[] = [];
  const lengths: number[] = [];
  const rest = lists.map((values) =>
    values.map((value) => {
      if (typeof value !== "string") return value;
      texts.push(value);
      lengths.push(value.length);
      return undefined;
    }),
  );
  return { lists: rest, text: texts.join(""), lengths };
}

/** The lists with their texts. They are changed in place. */
export function splitTexts({ lists, text, lengths }: Joined): unknown[][] {
  let [next, begin] = [0, 0];
  for (const values of lists)
    for (let i = 0; i < values.length; i++) {
      if (values[i] !== undefined) continue;
      const end = begin + (lengths[next++] ?? 0);
      values[i] = text.slice(begin, end);
      begin = end;
    }
  return lists;
}
