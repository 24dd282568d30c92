import { createPauses, type Clock } from "./clock.ts";
import { exactNumber } from "./exact-json.ts";
import {
  CLOSE_LIST,
  CLOSE_OBJECT,
  COLON,
  COMMA,
  LINE_FEED,
  OPEN_LIST,
  OPEN_OBJECT,
  QUOTE,
  RETURN,
  SPACE,
  TAB,
} from "./json-codes.ts";
import {
  type Checked,
  checkJson,
  DEEPEST,
  type Fault,
  MOST_ITEMS,
  REPEATED,
  TOO_DEEP,
  TOO_LONG,
  wrongName,
  wrongText,
} from "./json-limits.ts";
import { endOfText, pathOf } from "./json-repeats.ts";
import { type Json, type JsonObject, whyNotJson } from "./json.ts";

/** A list or object whose end was not read yet. */
type Open = {
  value: Json[] | JsonObject;
  /** The names that were read in an object. */
  names: number;
  /** The name of the member that is read, in an object. */
  name: string;
  /** Whether numbers in it keep their text. */
  isExact: boolean;
};

/** The text is not JSON; the message says why, and where. */
class NotJson extends Error {}

/** The text is JSON as far as it was read, and has what a client's text must not have. */
class Faulty extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(fault.message);
    this.fault = fault;
  }
}

/** Read without a check of the time; less than a millisecond of an ordinary text. */
const STRETCH = 16_384;

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORDS = [
  ["true", true],
  ["false", false],
  ["null", null],
] as const;

/** Shorter texts, and those with fewer marks, are parsed at once, in a few milliseconds. */
const LONG = 65_536;
const MANY = 5000;

/**
 * Whether a parser that is called once would hold the thread for long. It takes long for many values, and not for a
 * prompt of megabytes, which would be copied once more in turns.
 */
export function takesLong(text: string): boolean {
  if (text.length < LONG) return false;
  let marks = 0;
  for (let i = 0; i < text.length && marks < MANY; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) i = endOfText(text, i);
    if (code === QUOTE || code === COMMA || code === OPEN_LIST || code === OPEN_OBJECT) marks++;
  }
  return marks >= MANY;
}

/** Like `checkJson`. A text that takes long is parsed in turns. */
export function checkAnyJson(
  clock: Pick<Clock, "monotonic" | "setImmediate">,
  text: string,
  within?: ReadonlySet<string>,
): Checked | Promise<Checked> {
  return takesLong(text) ? checkInTurns(clock, text, within) : checkJson(text, within);
}

/**
 * Like `checkJson`, but lets other work have its turn every few milliseconds: a parser that is called once holds the
 * thread for more than a second with ten megabytes of lists, or of objects with different fields. Of several faults it
 * may find another one.
 */
export async function checkInTurns(
  clock: Pick<Clock, "monotonic" | "setImmediate">,
  text: string,
  within?: ReadonlySet<string>,
): Promise<Checked> {
  const pauses = createPauses(clock);
  const reader = new Reader(text, within);
  try {
    for (const _ of reader.read()) if (pauses.isDue()) await pauses.take();
    return { value: reader.value };
  } catch (error) {
    if (error instanceof Faulty) return { fault: error.fault };
    if (error instanceof NotJson) return { notJson: error.message };
    throw error;
  }
}

class Reader {
  readonly #text: string;
  readonly #within: ReadonlySet<string> | undefined;
  /** The lists and objects around `#open`. */
  readonly #around: Open[] = [];
  #open: Open | undefined;
  #at = 0;
  /** The value, when the text was read to its end. */
  value: Json = null;

  constructor(text: string, within: ReadonlySet<string> | undefined) {
    this.#text = text;
    this.#within = within;
  }

  /** Reads the text from its start to its end. Yields after each stretch. */
  *read(): Generator<undefined, void> {
    for (let yieldAt = STRETCH; ;) {
      const code = this.#skipBlanks();
      let value =
        code === OPEN_LIST || code === OPEN_OBJECT ? this.#begin(code) : this.#readScalar(code);
      while (value !== undefined) {
        const next = this.#skipBlanks();
        if (!this.#open) {
          if (this.#at < this.#text.length) this.#refuse();
          this.value = value;
          return;
        }
        value = this.#add(this.#open, value, next);
      }
      if (this.#at < yieldAt) continue;
      yieldAt = this.#at + STRETCH;
      yield;
    }
  }

  /** Begins a list or object. Returns it if it is empty; otherwise its first value follows. */
  #begin(code: number): Json | undefined {
    if (this.#around.length + (this.#open ? 1 : 0) >= DEEPEST) throw new Faulty(TOO_DEEP);
    this.#at++;
    const value: Json[] | JsonObject = code === OPEN_LIST ? [] : {};
    if (this.#skipBlanks() === endOf(value)) {
      this.#at++;
      return value;
    }
    const inner: Open = { value, names: 0, name: "", isExact: this.#isExact() };
    if (this.#open) this.#around.push(this.#open);
    this.#open = inner;
    if (!Array.isArray(value)) this.#readName(inner, value);
    return undefined;
  }

  /** Adds a value to what is open. Returns the list or object that ends behind it; otherwise the next value follows. */
  #add(open: Open, value: Json, code: number): Json | undefined {
    const { value: into } = open;
    if (Array.isArray(into)) {
      if (into.push(value) > MOST_ITEMS) throw new Faulty(TOO_LONG);
    } else into[open.name] = value;
    if (code === endOf(into)) {
      this.#at++;
      this.#open = this.#around.pop();
      return into;
    }
    if (code !== COMMA) this.#refuse();
    this.#at++;
    if (!Array.isArray(into)) this.#readName(open, into);
    return undefined;
  }

  #readName(open: Open, object: JsonObject): void {
    if (this.#skipBlanks() !== QUOTE) this.#refuse();
    open.name = this.#readText();
    const message = wrongName(open.name, ++open.names);
    if (message !== undefined) throw new Faulty({ path: "", message });
    if (Object.hasOwn(object, open.name))
      throw new Faulty({ path: pathOf([...this.#around, open].map(placeIn)), message: REPEATED });
    if (this.#skipBlanks() !== COLON) this.#refuse();
    this.#at++;
    const within = this.#within;
    open.isExact = !within || within.has(open.name) || this.#around.at(-1)?.isExact === true;
  }

  #readScalar(code: number): Json {
    if (code === QUOTE) {
      const value = this.#readText();
      const message = wrongText(value);
      if (message !== undefined) throw new Faulty({ path: "", message });
      return value;
    }
    NUMBER.lastIndex = this.#at;
    const [source] = NUMBER.exec(this.#text) ?? [];
    if (source !== undefined) {
      this.#at += source.length;
      return this.#isExact() ? exactNumber(source) : Number(source);
    }
    for (const [word, value] of WORDS) {
      if (!this.#text.startsWith(word, this.#at)) continue;
      this.#at += word.length;
      return value;
    }
    return this.#refuse();
  }

  #readText(): string {
    const end = endOfText(this.#text, this.#at) + 1;
    try {
      const value = JSON.parse(this.#text.slice(this.#at, end)) as string;
      this.#at = end;
      return value;
    } catch (error) {
      throw new NotJson(`${whyNotJson(error)} in the text at character ${this.#at + 1}`);
    }
  }

  #isExact(): boolean {
    return this.#open?.isExact ?? this.#within === undefined;
  }

  /** Moves to the next character that is not a blank, and returns its code. */
  #skipBlanks(): number {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== SPACE && code !== LINE_FEED && code !== RETURN && code !== TAB) return code;
      this.#at++;
    }
  }

  #refuse(): never {
    const found = this.#text[this.#at];
    const what = found === undefined ? "Unexpected end" : `Unexpected ${JSON.stringify(found)}`;
    throw new NotJson(`${what} at character ${this.#at + 1}`);
  }
}

function endOf(value: Json[] | JsonObject): number {
  return Array.isArray(value) ? CLOSE_LIST : CLOSE_OBJECT;
}

function placeIn({ value, name }: Open): string | number {
  return Array.isArray(value) ? value.length : name;
}
