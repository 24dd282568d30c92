import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"; // Crockford's base 32, lower case

const TIME_LENGTH = 9;
const RANDOM_LENGTH = 16;
const OF_THIS_KIND = new RegExp(`^([${ALPHABET}]{${TIME_LENGTH}})[${ALPHABET}]{${RANDOM_LENGTH}}$`);

/** The sources of ids. */
export type IdSource = { clock: Pick<Clock, "now">; random: Random };

/**
 * An id such as `task-01k9z3v7q2m0c8x4t5r6w7y8z9`: the prefix, nine characters of Unix
 * milliseconds, sixteen random ones (80 bits). Ids sort by the millisecond they were made in.
 */
export function newId({ clock, random }: IdSource, prefix: string): string {
  return `${prefix}-${encodeBase32(clock.now(), TIME_LENGTH)}${randomBase32(random, RANDOM_LENGTH)}`;
}

/** When `newId` made an id with this prefix, in Unix milliseconds; `undefined` for other texts. */
export function timeOfId(id: string, prefix: string): number | undefined {
  if (!id.startsWith(`${prefix}-`)) return undefined;
  const [, time] = OF_THIS_KIND.exec(id.slice(prefix.length + 1)) ?? [];
  if (time === undefined) return undefined;
  return Array.from(time).reduce((sum, one) => sum * 32 + ALPHABET.indexOf(one), 0);
}

/** `length` characters of base 32. Not for secrets. */
export function randomBase32(random: Random, length: number): string {
  return toBase32(Array.from({ length }, () => Math.floor(random() * 32)));
}

/** One character for the five low bits of each number. */
export function toBase32(numbers: Iterable<number>): string {
  let text = "";
  for (const number of numbers) text += ALPHABET[number & 31] ?? "";
  return text;
}

function encodeBase32(value: number, width: number): string {
  let text = "";
  for (let rest = value, i = 0; i < width; i++) {
    text = (ALPHABET[rest % 32] ?? "") + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}
