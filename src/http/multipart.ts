import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { Busboy, type BusboyHeaders } from "@fastify/busboy";

import { AppError, invalid } from "../errors.ts";
import type { Cancel, Clock } from "../lib/clock.ts";
import { refuseEncoded, requireConnected } from "./body.ts";

/** The longest pause between two pieces of a body. */
type Pace = { clock: Pick<Clock, "setTimeout" | "setImmediate">; maxPauseMs: number };

/** `fields` has the other parts of the form; it is complete when the content has ended. */
export type Upload = {
  name: string;
  content: AsyncIterable<Uint8Array>;
  fields: ReadonlyMap<string, string>;
};

/** The parts that a form may have besides the file, and the errors for other forms. */
export type FormTerms = {
  known: ReadonlySet<string>;
  noFile: () => AppError;
  unknownPart: (name: string) => AppError;
};

const FILE_ONLY: FormTerms = {
  known: new Set(),
  noFile: () => invalid([{ path: "file", message: "the form has no part `file` with a filename" }]),
  unknownPart: (path) =>
    invalid([{ path, message: "is not a known part; the file is the part `file`" }]),
};

const MAX_FIELDS = 10;
/** The longest part other than the file. */
const MAX_FIELD_BYTES = 1000;
/** A boundary has 70 characters at most (RFC 2046). */
const LONGEST_TYPE = 256;

/**
 * Streams the one file of a multipart body to `store` while it arrives, with backpressure, and returns the result of
 * `store`. Other parts than those of `terms` are refused. Throws `UNSUPPORTED_MEDIA_TYPE` if the body is not a multipart
 * form, `VALIDATION_ERROR` if the form is broken or has no part `file`, and `REQUEST_TIMEOUT` if nothing comes for
 * `maxPauseMs`.
 */
export async function readUpload<T>(
  request: Request,
  { clock, maxPauseMs }: Pace,
  store: (upload: Upload) => Promise<T>,
  terms: FormTerms = FILE_ONLY,
): Promise<T> {
  refuseEncoded(request);
  const type = request.headers.get("content-type") ?? "";
  if (!/^multipart\/form-data\s*;.*boundary=/i.test(type) || !request.body)
    throw new AppError(
      "UNSUPPORTED_MEDIA_TYPE",
      "Send the file as the part `file` of a `multipart/form-data` body, as `curl -F file=@tasks.csv` does",
    );
  let stored: Promise<T> | undefined;
  let arriving: PassThrough | undefined;
  /** Why the content broke off, which `store` fails with, too. */
  let broken: Error | undefined;
  /** Why `store` failed although the content arrived, such as a full disk. */
  let unstored: { error: unknown } | undefined;
  const fields = new Map<string, string>();
  const parser = createParser(type, { terms, fields }, (name, stream) => {
    if (stored) return stream.resume();
    // It ends only with the form, so errors after the file are found before the file is stored.
    const content = stream.pipe(new PassThrough(), { end: false });
    arriving = content;
    stream.on("error", (error) => content.destroy((broken = error)));
    // It may fail before `store` begins to read; `store` then gets the error.
    content.on("error", () => undefined);
    stored = store({ name, content, fields });
    // Also awaited below; without this, a failure before the end of the body would be an unhandled rejection.
    stored.catch((error: unknown) => {
      if (error !== broken) unstored = { error };
      parser.destroy(asError(error));
    });
  });
  try {
    await pipeline(Readable.from(atPace(request.body, { clock, maxPauseMs })), parser);
    await requireConnected(clock, request);
    arriving?.end();
  } catch (error) {
    // A body that breaks off ends the parser, but not the stream of the file.
    arriving?.destroy((broken ??= asError(error)));
    const cause: unknown = await stored?.catch((refusal: unknown) => refusal);
    if (cause instanceof AppError) throw cause;
    if (error instanceof AppError) throw error;
    throw unstored ? unstored.error : brokenForm(error);
  }
  if (!stored) throw terms.noFile();
  return stored;
}

/** The pieces of a body; each must come within `maxPauseMs`. */
async function* atPace(
  body: ReadableStream<Uint8Array>,
  { clock, maxPauseMs }: Pace,
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  const tooSlow = `Nothing of the file came for ${maxPauseMs / 1000} s`;
  try {
    for (;;) {
      let cancel: Cancel | undefined;
      const pause = new Promise<never>((_, reject) => {
        cancel = clock.setTimeout(
          () => reject(new AppError("REQUEST_TIMEOUT", tooSlow)),
          maxPauseMs,
        );
      });
      const { value, done } = await Promise.race([reader.read(), pause]).finally(() => cancel?.());
      if (done) return;
      yield value;
    }
  } finally {
    // The client may have disconnected.
    reader.cancel().catch(() => undefined);
  }
}

function createParser(
  type: string,
  { terms, fields }: { terms: FormTerms; fields: Map<string, string> },
  onFile: (name: string, stream: Readable) => void,
) {
  const parser = newParser(type);
  const refuse = (path: string, message: string) => parser.destroy(invalid([{ path, message }]));
  parser.on("field", (name, value) => {
    if (name === "file")
      refuse(name, "has no filename; send it as a file, as `curl -F file=@tasks.csv` does");
    else if (!terms.known.has(name)) parser.destroy(terms.unknownPart(name));
    else if (fields.has(name)) refuse(name, "is given more than once");
    else fields.set(name, value);
  });
  parser.on("filesLimit", () => refuse("file", "occurs more than once; send one file at a time"));
  parser.on("file", (name, stream, filename) => {
    if (name === "file") return onFile(filename || "upload", stream);
    stream.resume();
    parser.destroy(terms.unknownPart(name));
  });
  return parser;
}

/** Busboy reads the content type when it is created, and throws if it is invalid. */
function newParser(type: string): InstanceType<typeof Busboy> {
  const headers: BusboyHeaders = { "content-type": type };
  try {
    return new Busboy({
      headers,
      limits: { fields: MAX_FIELDS, fieldSize: MAX_FIELD_BYTES, files: 1 },
    });
  } catch (error) {
    // The parser's own message for it is not understandable.
    if (type.length > LONGEST_TYPE) throw brokenForm(new Error("its boundary is too long"));
    throw brokenForm(error);
  }
}

function brokenForm(error: unknown): AppError {
  return invalid([{ path: "", message: `the form is broken: ${asError(error).message}` }]);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
