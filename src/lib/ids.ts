const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"; // Crockford's base 32, lower case

/**
 * An id such as `task-01k9z3v7q2m0c8x4t5r6w7y8z9`: the prefix, nine characters of Unix
 * milliseconds, sixteen random ones (80 bits). Ids sort by the millisecond they were made in.
 */
export function newId(prefix: string, nowMs: number): string {
  return `${prefix}-${encodeBase32(nowMs, 9)}${randomBase32(16)}`;
}

/** `length` characters of base 32 from the system's random source, five bits each. */
export function randomBase32(length: number): string {
  let text = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(length)))
    text += ALPHABET[byte & 31] ?? "";
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
