import { TableFileError } from "./table.ts";

const FIRST_BYTES = 65_536;
const MOST_BYTES = 128 * 1024 * 1024;
const MOST_TEXTS = 10_000_000;

/** Many texts as bytes, which take a fifth of the memory of strings. */
export class PackedTexts {
  #bytes = Buffer.alloc(FIRST_BYTES);
  #ends = new Uint32Array(1024);
  #count = 0;
  #length = 0;

  get count(): number {
    return this.#count;
  }

  add(text: string): void {
    const size = Buffer.byteLength(text);
    const end = this.#length + size;
    if (end > MOST_BYTES || this.#count >= MOST_TEXTS)
      throw new TableFileError(
        `cannot be read: its different texts take more than ${MOST_BYTES} bytes, or are more than ` +
          `${MOST_TEXTS}; divide the workbook, or save the sheet as CSV`,
      );
    if (end > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(end, Math.min(this.#bytes.length * 2, MOST_BYTES)));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    if (this.#count === this.#ends.length) {
      const larger = new Uint32Array(this.#count * 2);
      larger.set(this.#ends);
      this.#ends = larger;
    }
    this.#bytes.write(text, this.#length);
    this.#ends[this.#count++] = end;
    this.#length = end;
  }

  /** `undefined` beyond the last one. */
  at(index: number): string | undefined {
    if (!Number.isInteger(index) || index < 0 || index >= this.#count) return undefined;
    const start = index === 0 ? 0 : this.#ends[index - 1];
    return this.#bytes.toString("utf8", start, this.#ends[index]);
  }
}
