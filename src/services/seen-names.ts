import { type Clock, createPauses } from "../lib/clock.ts";
import { hash53 } from "../lib/hash.ts";
import type { PreparedRow, RowSource } from "./prepare-row.ts";

type Group = { hashes: Float64Array<ArrayBuffer>; size: number };
type NameOf = (row: PreparedRow) => string | null | undefined;

/**
 * The number of groups. With a million names each has a thousand, which are sorted or moved in a tenth of a
 * millisecond.
 */
const GROUPS = 1024;
const FIRST_SIZE = 16;

/**
 * Finds duplicate names in a whole file with eight bytes per name, because only hashes are stored. Possible
 * duplicates are checked again at the end.
 */
export class SeenNames {
  readonly #clock: Clock;
  readonly #nameOf: NameOf;
  /** Hashes grouped by their remainder, so that no step touches all of them. */
  readonly #groups = new Map<number, Group>();

  constructor(clock: Clock, nameOf: NameOf) {
    this.#clock = clock;
    this.#nameOf = nameOf;
  }

  add(row: PreparedRow): void {
    const name = this.#nameOf(row) ?? null;
    if (name === null) return;
    const hash = hash53(name);
    const group = this.#groupOf(hash);
    if (group.size === group.hashes.length) {
      const larger = new Float64Array(group.size * 2);
      larger.set(group.hashes);
      group.hashes = larger;
    }
    group.hashes[group.size++] = hash;
  }

  async *duplicates(
    source: RowSource,
  ): AsyncGenerator<{ name: string; row: number; before: number }> {
    const suspects = await this.#findSuspects();
    if (suspects.size === 0) return;
    const seen = new Map<string, number>();
    const pauses = createPauses(this.#clock);
    for await (const portion of source())
      for (const row of portion) {
        if (pauses.isDue()) await pauses.take();
        const name = this.#nameOf(row) ?? null;
        if (name === null || !suspects.has(hash53(name))) continue;
        const before = seen.get(name);
        if (before === undefined) seen.set(name, row.row);
        else yield { name, row: row.row, before };
      }
  }

  async #findSuspects(): Promise<Set<number>> {
    const suspects = new Set<number>();
    const pauses = createPauses(this.#clock);
    for (const { hashes, size } of this.#groups.values()) {
      const sorted = hashes.subarray(0, size).toSorted();
      let before: number | undefined;
      for (const hash of sorted) {
        if (hash === before) suspects.add(hash);
        before = hash;
      }
      if (pauses.isDue()) await pauses.take();
    }
    return suspects;
  }

  #groupOf(hash: number): Group {
    const key = hash % GROUPS;
    let group = this.#groups.get(key);
    if (!group) this.#groups.set(key, (group = { hashes: new Float64Array(FIRST_SIZE), size: 0 }));
    return group;
  }
}
