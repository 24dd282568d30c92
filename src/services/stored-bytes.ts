import type { Context } from "../context.ts";
import type { ResultOf, Unit } from "../db/unit.ts";
import type { WriteOptions } from "../db/writer.ts";
import { AppError } from "../errors.ts";
import { readRows } from "../store/rows.ts";
import { limitOf, limitStored, type StoredBytes, sumStored } from "../store/stored-bytes.ts";

/*
 * Limits what clients may store on the server: `MAX_STORED_BYTES` in total, `MAX_STORED_BYTES_PER_KEY` for each key.
 * Uploads and the stored requests of tasks count: body, prompt, metadata and the row of the file. Answers do not
 * count, because they are paid for when they come; nor do output files, which belong to the operator.
 */

/** The refusal of what fits all limits, but not into a row of the database. */
export const tooLargeForDatabase = () =>
  new AppError(
    "PAYLOAD_TOO_LARGE",
    "The database does not store values this large: a libSQL server takes less than 5 MB for a task with its request, " +
      "prompt, metadata and cells, or for a batch with its settings and metadata",
  );

const LIMITS = {
  all: { variable: "MAX_STORED_BYTES", what: "All uploads and requests of tasks together" },
  ofKey: {
    variable: "MAX_STORED_BYTES_PER_KEY",
    what: "The uploads and requests of tasks of this API key",
  },
};

/**
 * Commits a unit that stores something for a key. Throws `LIMIT_REACHED`, and stores nothing, if a limit would be
 * exceeded.
 */
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

/** How many more bytes a key may store now, and the error to throw beyond that. */
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
