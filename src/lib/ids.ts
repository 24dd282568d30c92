import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"; // Crockford's base 32, lower case

/** The sources of ids. */
export type IdSource = { clock: Pick<Clock, "now">; random: Random };

/**
 * An id such as `task-01k9z3v7q2m0c8x4t5r6w7y8z9`: the prefix, nine characters of Unix
 * milliseconds, sixteen random ones (80 bits). Ids sort by the millisecond they were made in.
 */
export function newId({ clock, random }: IdSource, prefix: string): string {
  return `${prefix}-${encodeBase32(clock.now(), 9)}${randomBase32(random, 16)}`;
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
