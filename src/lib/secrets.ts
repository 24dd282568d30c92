import { toBase32 } from "./ids.ts";

/** `length` characters of base 32 from the system's random source, five bits each, that nobody can guess. */
export function randomSecret(length: number): string {
  return toBase32(randomBytes(length));
}

/** Random bytes of the system. */
export function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(length));
}
