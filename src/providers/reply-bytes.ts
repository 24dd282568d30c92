/*
 * How much of a provider's reply is read. A reply without an end, or a small one that unfolds to a very large one,
 * must not take the memory of the process, and nothing walks through a text of hundreds of megabytes.
 */

/** Longer than any answer that models give: lists of vectors and of images have tens of megabytes. */
const MOST_REPLY_BYTES = 128 * 1024 * 1024;
/** What says why a request was refused; the rest of it is not read. */
const MOST_ERROR_BYTES = 256 * 1024;

/** A reply is longer than any answer. */
export class LongReplyError extends Error {
  override readonly name = "LongReplyError";

  constructor() {
    super(`The provider's answer is longer than ${MOST_REPLY_BYTES / 1024 / 1024} MiB`);
  }
}

type Body = ReadableStream<Uint8Array>;

/** The pieces of a reply. Throws `LongReplyError` where there are too many. */
export async function* replyPieces(body: Body): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > MOST_REPLY_BYTES) throw new LongReplyError();
    yield piece;
  }
}

/** All of a reply. Throws `LongReplyError` where it is too long. */
export async function replyText(reply: Response): Promise<string> {
  // What is compressed, or comes in pieces, has no length that could be relied on.
  const length = reply.headers.get("content-length");
  const isPlain = length !== null && !reply.headers.has("content-encoding");
  if (!reply.body || (isPlain && Number(length) <= MOST_REPLY_BYTES)) return reply.text();
  if (isPlain) {
    await reply.body.cancel();
    throw new LongReplyError();
  }
  const decoder = new TextDecoder();
  const texts: string[] = [];
  for await (const piece of replyPieces(reply.body))
    texts.push(decoder.decode(piece, { stream: true }));
  texts.push(decoder.decode());
  return texts.join("");
}

/** The text of a refusal, as far as anybody reads it. The connection ends where there is more. */
export async function refusalText(reply: Response): Promise<string> {
  if (!reply.body) return "";
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const piece of reply.body) {
    const room = MOST_ERROR_BYTES - bytes;
    bytes += piece.length;
    text += decoder.decode(piece.subarray(0, room), { stream: true });
    if (bytes >= MOST_ERROR_BYTES) return text;
  }
  return text + decoder.decode();
}
