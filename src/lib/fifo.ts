/** First in, first out, at the same cost however many are in it; `Array.shift` moves all that follow. */
export type Fifo<One> = {
  push(one: One): void;
  /** Takes the first out. */
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
