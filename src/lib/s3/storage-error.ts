/** An operation on the store of files failed. The message is a clause for people, without anything secret. */
export class StorageError extends Error {
  override readonly name = "StorageError";
  /** Whether the same may succeed later, with nothing changed by anybody. */
  readonly isPassing: boolean;
  /** What the server calls it, if it said anything. */
  readonly code: string | undefined;

  constructor(message: string, { isPassing, code }: { isPassing: boolean; code?: string }) {
    super(message);
    this.isPassing = isPassing;
    this.code = code;
  }
}
