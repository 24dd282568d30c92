import { toBase32 } from "./ids.ts";

/** A secret of `length` characters of base 32, five random bits each, from the system's random source. */
export function randomSecret(length: number): string {
  return toBase32(randomBytes(length));
}

/** Random bytes of the system. */
export function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(length));
}
