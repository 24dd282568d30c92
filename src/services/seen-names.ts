import { hash53 } from "../lib/hash.ts";
import type { PreparedRow, RowSource } from "./prepare-row.ts";

type NameOf = (row: PreparedRow) => string | null | undefined;

/**
 * Names in a whole file in eight bytes each: what is kept of one is a hash. Those that may be there
 * twice are looked at again at the end.
 */
export class SeenNames {
  readonly #nameOf: NameOf;
  #hashes = new Float64Array(1024);
  #size = 0;

  constructor(nameOf: NameOf) {
    this.#nameOf = nameOf;
  }

  add(row: PreparedRow): void {
    const name = this.#nameOf(row) ?? null;
    if (name === null) return;
    if (this.#size === this.#hashes.length) {
      const larger = new Float64Array(this.#size * 2);
      larger.set(this.#hashes);
      this.#hashes = larger;
    }
    this.#hashes[this.#size++] = hash53(name);
  }

  async *duplicates(
    source: RowSource,
  ): AsyncGenerator<{ name: string; row: number; before: number }> {
    const sorted = this.#hashes.subarray(0, this.#size).toSorted();
    const suspects = new Set(sorted.filter((hash, i) => hash === sorted[i - 1]));
    if (suspects.size === 0) return;
    const seen = new Map<string, number>();
    for await (const row of source()) {
      const name = this.#nameOf(row) ?? null;
      if (name === null || !suspects.has(hash53(name))) continue;
      const before = seen.get(name);
      if (before === undefined) seen.set(name, row.row);
      else yield { name, row: row.row, before };
    }
  }
}
