export type Heap<Item> = {
  push(item: Item): void;
  /** Removes and returns the first item. */
  pop(): Item | undefined;
  size(): number;
};

/** A binary heap. How items compare must not change while they are in it. */
export function createHeap<Item>(isBefore: (a: Item, b: Item) => boolean): Heap<Item> {
  const items: Item[] = [];

  function rise(item: Item): void {
    let at = items.length;
    for (; at > 0;) {
      const parent = (at - 1) >> 1;
      const above = items[parent];
      if (above === undefined || !isBefore(item, above)) break;
      items[at] = above;
      at = parent;
    }
    items[at] = item;
  }

  /** Replaces the first item. */
  function sink(item: Item): void {
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      let below = items[child];
      const right = items[child + 1];
      if (below !== undefined && right !== undefined && isBefore(right, below)) {
        child++;
        below = right;
      }
      if (below === undefined || !isBefore(below, item)) break;
      items[at] = below;
      at = child;
    }
    items[at] = item;
  }

  return {
    push: rise,
    pop() {
      const [first] = items;
      const last = items.pop();
      if (items.length > 0 && last !== undefined) sink(last);
      return first;
    },
    size: () => items.length,
  };
}
