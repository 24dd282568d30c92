import type { Context } from "../context.ts";
import type { ResultOf, Unit } from "../db/unit.ts";
import type { WriteOptions } from "../db/writer.ts";
import { AppError } from "../errors.ts";
import { readRows } from "../store/rows.ts";
import { limitOf, limitStored, type StoredBytes, sumStored } from "../store/stored-bytes.ts";

/*
 * What clients may leave on the server: `MAX_STORED_BYTES` in all, `MAX_STORED_BYTES_PER_KEY` of each key.
 * Counted are uploads, and the requests of tasks as they are stored: body, prompt, metadata and the row of the
 * file that a task came from. Answers are not, since they are paid for when they come; nor are output
 * files, which belong to whoever runs the server.
 */

const LIMITS = {
  all: { variable: "MAX_STORED_BYTES", what: "All uploads and requests of tasks together" },
  ofKey: {
    variable: "MAX_STORED_BYTES_PER_KEY",
    what: "The uploads and requests of tasks of this API key",
  },
};

/** Commits a unit that stores something for a key. Throws `LIMIT_REACHED`, and stores nothing, where that would be too much. */
export async function writeStored<U extends Unit>(
  ctx: Context,
  key: number,
  unit: U,
  options: WriteOptions = {},
): Promise<ResultOf<U>> {
  const limits = limitStored(key, mostOf(ctx));
  if (limits.length === 0) return ctx.writer.write(unit, options);
  try {
    const results = await ctx.writer.write({ unit, limits }, options);
    return results.unit as ResultOf<U>;
  } catch (error) {
    const limit = limitOf(error);
    throw limit === undefined ? error : refusalBy(ctx, limit);
  }
}

export type Room = { bytes: number; refusal: AppError | undefined };

/** How many bytes more a key may store at present, and what is to be thrown beyond. */
export async function roomFor(ctx: Context, key: number): Promise<Room> {
  const most = mostOf(ctx);
  const limited = (["ofKey", "all"] as const).filter((limit) => most[limit] > 0);
  const [stored] = limited.length > 0 ? await readRows(ctx.client, sumStored(key)) : [];
  return limited.reduce<Room>(
    (least, limit) => {
      const bytes = most[limit] - (stored?.[limit] ?? 0);
      return bytes < least.bytes ? { bytes, refusal: refusalBy(ctx, limit) } : least;
    },
    { bytes: Infinity, refusal: undefined },
  );
}

const mostOf = ({ config }: Context): StoredBytes => ({
  all: config.maxStoredBytes,
  ofKey: config.maxStoredBytesPerKey,
});

function refusalBy(ctx: Context, limit: keyof StoredBytes): AppError {
  const { variable, what } = LIMITS[limit];
  return new AppError(
    "LIMIT_REACHED",
    `${what} would take more than ${mostOf(ctx)[limit]} bytes (${variable}); delete files, tasks or batches first`,
  );
}
