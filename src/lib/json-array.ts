import type { FileSystem } from "./file-system.ts";
import {
  BACKSLASH,
  CLOSE_LIST,
  CLOSE_OBJECT,
  COMMA,
  OPEN_LIST,
  OPEN_OBJECT,
  QUOTE,
  SPACE,
} from "./json-codes.ts";
import type { Line } from "./jsonl.ts";
import { readUtf8, type TextFile, TextFileError } from "./text-file.ts";

/** Longest element that is read, in bytes. */
const MAX_ELEMENT_BYTES = 16 * 1024 * 1024;

/**
 * The elements of a file that is one JSON array, each as its text on one line, numbered from 1. Elements that end in the
 * same piece of the file come together. Only brackets and quotes are examined; the caller checks whether an element is
 * valid. Throws `TextFileError` if the array has no end, something follows it, or an element is too long.
 */
export async function* readJsonArray(files: FileSystem, file: TextFile): AsyncGenerator<Line[]> {
  const scanner = new ArrayScanner();
  for await (const chunk of readUtf8(files, file)) yield [...scanner.take(chunk)];
  scanner.end();
}

/** Takes an array piece by piece and returns the complete elements. */
class ArrayScanner {
  #state: "before" | "within" | "after" = "before";
  /** The bytes of the element that is being read, with each run of blanks outside of strings as one space. */
  #bytes = Buffer.alloc(65_536);
  #length = 0;
  #depth = 0;
  #isText = false;
  #isEscaped = false;
  #number = 0;

  *take(chunk: Buffer): Generator<Line> {
    for (const byte of chunk) {
      if (this.#isText) {
        this.#keep(byte);
        if (this.#isEscaped) this.#isEscaped = false;
        else if (byte === BACKSLASH) this.#isEscaped = true;
        else if (byte === QUOTE) this.#isText = false;
      } else if (this.#state !== "within") {
        this.#outside(byte);
      } else if (byte === CLOSE_LIST && this.#depth === 0) {
        this.#state = "after";
        if (this.#number > 0 || this.#isFilled) yield this.#element();
      } else if (byte === COMMA && this.#depth === 0) {
        yield this.#element();
      } else this.#inside(byte);
    }
  }

  end(): void {
    if (this.#state === "before") throw new TextFileError("is not a JSON array");
    if (this.#state === "within")
      throw new TextFileError(
        `is a JSON array that is cut off: after element ${this.#number} the closing ] is missing`,
      );
  }

  #outside(byte: number): void {
    if (this.#state === "before" && byte === OPEN_LIST) this.#state = "within";
    // A byte order mark is EF BB BF.
    else if (byte > SPACE && (this.#state === "after" || byte < 0x80))
      throw new TextFileError(
        this.#state === "after"
          ? `has text behind the JSON array, which ends after element ${this.#number}`
          : "is not a JSON array",
      );
  }

  #inside(byte: number): void {
    if (byte === OPEN_LIST || byte === OPEN_OBJECT) this.#depth++;
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) this.#depth--;
    else if (byte === QUOTE) this.#isText = true;
    if (byte > SPACE) this.#keep(byte);
    else if (this.#length > 0 && this.#bytes[this.#length - 1] !== SPACE) this.#keep(SPACE);
  }

  #keep(byte: number): void {
    if (this.#length === this.#bytes.length) {
      if (this.#length >= MAX_ELEMENT_BYTES)
        throw new TextFileError(
          `has an element of more than ${MAX_ELEMENT_BYTES / 1024 / 1024} MiB (element ${this.#number + 1})`,
        );
      const larger = Buffer.alloc(this.#length * 2);
      this.#bytes.copy(larger);
      this.#bytes = larger;
    }
    this.#bytes[this.#length++] = byte;
  }

  get #isFilled(): boolean {
    return this.#length > 0;
  }

  #element(): Line {
    const text = this.#bytes.toString("utf8", 0, this.#length).trim();
    this.#length = 0;
    return { number: ++this.#number, text };
  }
}
