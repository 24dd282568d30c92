import { z } from "@hono/zod-openapi";

import { invalid } from "../errors.ts";

/** The page parameters of a list with only one order. */
export const PAGE_AND_LIMIT = {
  page: whole(1, 1_000_000, {
    default: 1,
    description: "Page number, up to the first 10,000 rows; use `cursor` beyond that",
  }),
  limit: whole(1, 100, { default: 10, description: "Items per page" }),
  cursor: z.string().max(500).optional().openapi({
    description: "`nextCursor` of the previous page; deep pages then cost no more than the first",
  }),
};

/** The query parameters of every list; `sorts` are the fields it can be sorted by, the default first. */
export function pageQuery<const S extends readonly [string, ...string[]]>(sorts: S) {
  return {
    ...PAGE_AND_LIMIT,
    sort: z.enum(sorts).default(sorts[0] as S[number]),
    order: z.enum(["asc", "desc"]).default("desc"),
  };
}

export const Pagination = z
  .object({
    page: z.number().int(),
    limit: z.number().int(),
    total: z.number().int(),
    totalPages: z.number().int(),
    nextCursor: z.string().nullable(),
  })
  .openapi("Pagination");

type Query<S extends string> = {
  page: number;
  limit: number;
  sort: S;
  order: "asc" | "desc";
  cursor?: string | undefined;
};

type Key = [sortValue: number | string, seq: number];

/** Deeper pages need `cursor`, because skipped rows cost as much as rows that are read. */
const DEEPEST_OFFSET = 10_000;

/**
 * Converts the query of a list to the page that the store reads. Throws `VALIDATION_ERROR` for a cursor of another
 * list, and for a page number beyond the first ten thousand rows.
 */
export function toPage<S extends string>({ page, limit, sort, order, cursor }: Query<S>) {
  const offset = cursor === undefined ? (page - 1) * limit : 0;
  if (offset > DEEPEST_OFFSET)
    throw invalid([
      {
        path: "page",
        message:
          `page ${page} of ${limit} begins after row ${offset}, and pages are numbered up to row ${DEEPEST_OFFSET} only; ` +
          "go on from any page with `cursor`, which is its `pagination.nextCursor`",
      },
    ]);
  return {
    sort,
    order,
    limit,
    offset,
    ...(cursor === undefined ? {} : { after: readCursor(cursor, sort, order) }),
  };
}

/** The `pagination` object of an answer; `keyOf` returns the sort value and row number of an item. */
export function pagination<Item>(
  query: Query<string>,
  total: number,
  items: readonly Item[],
  keyOf: (item: Item) => Key,
): z.infer<typeof Pagination> {
  const last = items.at(-1);
  const isFull = items.length === query.limit;
  return {
    page: query.page,
    limit: query.limit,
    total,
    totalPages: Math.ceil(total / query.limit),
    nextCursor:
      last !== undefined && isFull ? writeCursor(query.sort, query.order, keyOf(last)) : null,
  };
}

/** The key of an item of a list that can be sorted by name or by time. */
export function nameOrTime(sort: "name" | "createdAt") {
  return ({ name, createdAt, seq }: { name: string; createdAt: number; seq: number }): Key => [
    sort === "name" ? name : createdAt,
    seq,
  ];
}

function writeCursor(sort: string, order: string, [value, seq]: Key): string {
  return Buffer.from(JSON.stringify([sort, order, value, seq])).toString("base64url");
}

const Cursor = z.tuple([z.string(), z.string(), z.union([z.number(), z.string()]), z.number()]);

function readCursor(cursor: string, sort: string, order: string): Key {
  try {
    const text = Buffer.from(cursor, "base64url").toString();
    const [madeSort, madeOrder, value, seq] = Cursor.parse(JSON.parse(text));
    if (madeSort === sort && madeOrder === order) return [value, seq];
  } catch {
    // Reported below, as is a cursor of another list.
  }
  throw invalid([
    { path: "cursor", message: "is not a cursor of this list with this sort and order" },
  ]);
}

/** A whole number in a query string, which the OpenAPI document describes as an integer. */
export function whole(min: number, max: number, about: { default: number; description: string }) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d{1,9}$/, message)
    .transform(Number)
    .pipe(z.number().min(min, message).max(max, message))
    .default(about.default)
    .openapi({ type: "integer", minimum: min, maximum: max, ...about });
}

/** A time in a query string, as Unix ms. */
export const Moment = z
  .union([z.iso.datetime({ offset: true }), z.iso.date()])
  .transform((text) => Date.parse(text));

/** A boolean in a query string; false by default. */
export function flag(description: string) {
  return maybe(description).default(false).openapi({ default: false });
}

/** A boolean in a query string. */
export function maybe(description: string) {
  return z
    .enum(["true", "false"])
    .transform((text) => text === "true")
    .openapi({ type: "boolean", description });
}
