/*
 * Limits how much of a provider's reply is read. An endless reply, or a small one that decompresses to a very large one,
 * must not exhaust the memory of the process or keep it busy with hundreds of megabytes of text.
 */

/** Longer than any real answer: lists of embeddings and of images have tens of megabytes. */
const MOST_REPLY_BYTES = 128 * 1024 * 1024;
/** The most bytes to read of an error; the rest is not read. */
const MOST_ERROR_BYTES = 256 * 1024;

/** A reply that is longer than `MOST_REPLY_BYTES`. */
export class LongReplyError extends Error {
  override readonly name = "LongReplyError";

  constructor() {
    super(`The provider's answer is longer than ${MOST_REPLY_BYTES / 1024 / 1024} MiB`);
  }
}

type Body = ReadableStream<Uint8Array>;

/** The pieces of a reply. Throws `LongReplyError` if it is too long. */
export async function* replyPieces(body: Body): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > MOST_REPLY_BYTES) throw new LongReplyError();
    yield piece;
  }
}

/** The whole text of a reply. Throws `LongReplyError` if it is too long. */
export async function replyText(reply: Response): Promise<string> {
  // Only an uncompressed reply with a `Content-Length` has a reliable length.
  const length = reply.headers.get("content-length");
  const isPlain = length !== null && !reply.headers.has("content-encoding");
  // The body is looked at last: Bun makes a stream of it then.
  if ((isPlain && Number(length) <= MOST_REPLY_BYTES) || !reply.body) return reply.text();
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

/** The beginning of the text of an error. If there is more, the connection is closed. */
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
