/** A first-in, first-out queue with constant cost per operation; `Array.shift` moves all other elements. */
export type Fifo<One> = {
  push(one: One): void;
  /** Removes and returns the first. */
  shift(): One | undefined;
  first(): One | undefined;
  size(): number;
};

const DROP_AFTER = 1024;

export function createFifo<One>(): Fifo<One> {
  let items: (One | undefined)[] = [];
  let head = 0;
  return {
    push(one) {
      items.push(one);
    },
    shift() {
      const one = items[head];
      items[head] = undefined;
      if (head < items.length) head++;
      if (head === items.length || head === DROP_AFTER) {
        items = items.slice(head);
        head = 0;
      }
      return one;
    },
    first: () => items[head],
    size: () => items.length - head,
  };
}
