import { z } from "@hono/zod-openapi";

import { invalid } from "../errors.ts";

/** The page of a list that has one order only. */
export const PAGE_AND_LIMIT = {
  page: whole(1, 1_000_000, { default: 1, description: "Page number" }),
  limit: whole(1, 100, { default: 10, description: "Items per page" }),
  cursor: z.string().max(500).optional().openapi({
    description: "`nextCursor` of the page before; deep pages then cost what the first costs",
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

/** What a store needs to read the page that a query asks for. Throws `VALIDATION_ERROR` for a cursor of another list. */
export function toPage<S extends string>({ page, limit, sort, order, cursor }: Query<S>) {
  return {
    sort,
    order,
    limit,
    offset: cursor === undefined ? (page - 1) * limit : 0,
    ...(cursor === undefined ? {} : { after: readCursor(cursor, sort, order) }),
  };
}

/** The `pagination` object of an answer; `last` is the sort value and row number of the page's last item. */
export function pagination(
  query: Query<string>,
  total: number,
  items: number,
  last: [number | string, number] | undefined,
): z.infer<typeof Pagination> {
  return {
    page: query.page,
    limit: query.limit,
    total,
    totalPages: Math.ceil(total / query.limit),
    nextCursor: last && items === query.limit ? writeCursor(query.sort, query.order, last) : null,
  };
}

function writeCursor(sort: string, order: string, [value, seq]: [number | string, number]): string {
  return Buffer.from(JSON.stringify([sort, order, value, seq])).toString("base64url");
}

const Cursor = z.tuple([z.string(), z.string(), z.union([z.number(), z.string()]), z.number()]);

function readCursor(cursor: string, sort: string, order: string): [number | string, number] {
  try {
    const text = Buffer.from(cursor, "base64url").toString();
    const [madeSort, madeOrder, value, seq] = Cursor.parse(JSON.parse(text));
    if (madeSort === sort && madeOrder === order) return [value, seq];
  } catch {
    // Told below, like a cursor of another list.
  }
  throw invalid([
    { path: "cursor", message: "is not a cursor of this list with this sort and order" },
  ]);
}

/** A whole number in a query string, which the document calls what it is. */
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

/** A moment in a query string, as Unix ms. */
export const Moment = z
  .union([z.iso.datetime({ offset: true }), z.iso.date()], {
    error: "must be a time such as 2025-01-01T00:00:00Z",
  })
  .transform((text) => Date.parse(text));

/** A yes or no in a query string, or in none: no. */
export function flag(description: string) {
  return maybe(description).default(false).openapi({ default: false });
}

/** A yes or no in a query string. */
export function maybe(description: string) {
  return z
    .enum(["true", "false"])
    .transform((text) => text === "true")
    .openapi({ type: "boolean", description });
}
