import { useRef } from "preact/hooks";

import { go, href, route } from "../shell/router.ts";
import { count } from "./format.ts";

/** Which page of a list is shown: it is a part of the address. */
export function useCursor() {
  const { parts, query } = route.value;
  /** The cursors of the pages that were shown, by number. */
  const seen = useRef(new Map<number, string>());
  const cursor = query.get("cursor") ?? "";
  const page = cursor === "" ? 1 : Math.max(2, Number(query.get("page")) || 2);
  seen.current.set(page, cursor);
  const show = (to: string, at: number) =>
    go(href(parts, { ...Object.fromEntries(query), cursor: to, page: at > 1 ? String(at) : "" }));
  return {
    query: cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`,
    page,
    /** To the previous page, or to the first one if the previous is unknown, as after a reload or through a link. */
    back: () => {
      const before = seen.current.get(page - 1);
      show(before ?? "", before === undefined ? 1 : page - 1);
    },
    next: (to: string) => show(to, page + 1),
  };
}

type Props = {
  cursor: ReturnType<typeof useCursor>;
  of: { total?: number; totalPages?: number; nextCursor: string | null };
};

export function Pager({ cursor, of: { total, totalPages, nextCursor } }: Props) {
  if (cursor.page === 1 && nextCursor === null) return null;
  return (
    <p class="actions">
      {cursor.page > 1 && (
        <button type="button" class="small" onClick={cursor.back}>
          Earlier
        </button>
      )}
      <span class="quiet">
        page {cursor.page}
        {totalPages ? ` of ${count(totalPages)}` : ""}
        {total ? `, ${count(total)} in all` : ""}
      </span>
      {nextCursor !== null && (
        <button type="button" class="small" onClick={() => cursor.next(nextCursor)}>
          Later
        </button>
      )}
    </p>
  );
}
