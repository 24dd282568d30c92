/** A map of at most `most` entries; a new entry replaces the oldest one. */
export class BoundedMap<K, V> extends Map<K, V> {
  readonly #most: number;

  constructor(most: number) {
    super();
    this.#most = most;
  }

  override set(key: K, value: V): this {
    super.set(key, value);
    if (this.size <= this.#most) return this;
    const [oldest] = this.keys();
    // The map has entries, so there is a first one.
    this.delete(oldest as K);
    return this;
  }
}
