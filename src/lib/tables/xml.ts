import { Tokenizer } from "htmlparser2";

import { TableFileError } from "./table.ts";

export type Attributes = Record<string, string>;

/** Called for each part of a document, in document order. Names come without their prefixes, `x:row` as `row`. */
export type XmlHandler = {
  open(name: string, attributes: Attributes): void;
  text(text: string): void;
  close(name: string): void;
};

/** Characters between two tags, or within one. A cell has 32,767. */
const MOST_PENDING = 8 * 1024 * 1024;
const MOST_ATTRIBUTES = 200;
const NO_ATTRIBUTES: Attributes = Object.freeze({});

/**
 * Reads XML as a stream, and holds only the text between two tags. Only XML's own five entities are known: a document
 * that declares others (`<!DOCTYPE`) is refused, and spreadsheets never need that.
 */
export class XmlReader {
  readonly #tokenizer: Tokenizer;
  #piece = "";
  /** Where the piece begins, as the tokenizer counts. */
  #base = 0;
  /** What follows the last tag that is whole. */
  #rest = "";
  #name = "";
  #attributes: Attributes = NO_ATTRIBUTES;
  #count = 0;
  #attribute = "";
  #value = "";

  constructor(handler: XmlHandler) {
    const ignore = () => {};
    this.#tokenizer = new Tokenizer(
      { xmlMode: true, decodeEntities: true },
      {
        onopentagname: (start, end) => {
          this.#name = this.#local(start, end);
          this.#attributes = NO_ATTRIBUTES;
          this.#count = 0;
        },
        onattribname: (start, end) => {
          this.#attribute = this.#slice(start, end);
          this.#value = "";
        },
        onattribdata: (start, end) => {
          this.#value += this.#slice(start, end);
        },
        onattribentity: (code) => {
          this.#value += String.fromCodePoint(code);
        },
        onattribend: () => this.#addAttribute(),
        onopentagend: () => handler.open(this.#name, this.#attributes),
        onselfclosingtag: () => {
          handler.open(this.#name, this.#attributes);
          handler.close(this.#name);
        },
        onclosetag: (start, end) => handler.close(this.#local(start, end)),
        ontext: (start, end) => handler.text(this.#slice(start, end)),
        ontextentity: (code) => handler.text(String.fromCodePoint(code)),
        oncdata: (start, end, endOffset) => handler.text(this.#slice(start, end - endOffset)),
        ondeclaration: (start, end) => {
          if (/^\s*doctype/i.test(this.#slice(start, end)))
            throw new TableFileError("declares a DOCTYPE, which no spreadsheet needs");
        },
        oncomment: ignore,
        onprocessinginstruction: ignore,
        onend: ignore,
      },
    );
  }

  write(text: string): void {
    const all = this.#rest + text;
    const end = text.includes(">") ? wholeOf(all) : 0;
    if (end > 0) this.#pass(all.slice(0, end));
    this.#rest = all.slice(end);
    if (this.#rest.length > MOST_PENDING)
      throw new TableFileError(`has a text of more than ${MOST_PENDING} characters`);
  }

  end(): void {
    this.#pass(this.#rest);
    this.#tokenizer.end();
  }

  #pass(text: string): void {
    this.#base += this.#piece.length;
    this.#piece = text;
    this.#tokenizer.write(text);
  }

  #slice(start: number, end: number): string {
    if (start < this.#base)
      throw new TableFileError("has a CDATA section or a tag that is written in an unusual way");
    return this.#piece.slice(start - this.#base, end - this.#base);
  }

  #local(start: number, end: number): string {
    const name = this.#slice(start, end);
    return name.includes(":") ? name.slice(name.indexOf(":") + 1) : name;
  }

  #addAttribute(): void {
    if (++this.#count > MOST_ATTRIBUTES)
      throw new TableFileError(`has a tag of more than ${MOST_ATTRIBUTES} attributes`);
    if (this.#attributes === NO_ATTRIBUTES) this.#attributes = Object.create(null) as Attributes;
    this.#attributes[this.#attribute] = this.#value;
  }
}

/** How much of a text can be passed on: up to the end of its last tag, and not into an unfinished CDATA section. */
function wholeOf(text: string): number {
  const cdata = text.lastIndexOf("<![CDATA[");
  if (cdata !== -1 && !text.includes("]]>", cdata)) return cdata;
  return text.lastIndexOf(">") + 1;
}

/** Reads a whole document. */
export function readXml(text: string, handler: XmlHandler): void {
  const reader = new XmlReader(handler);
  reader.write(text);
  reader.end();
}
