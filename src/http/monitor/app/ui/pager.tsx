import { useState } from "preact/hooks";

import { count } from "./format.ts";

/** Where each page up to the one that is shown begins. */
export function useCursor() {
  const [cursors, setCursors] = useState<string[]>([""]);
  const cursor = cursors.at(-1) ?? "";
  return {
    query: cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`,
    page: cursors.length,
    first: () => setCursors([""]),
    back: () => setCursors(cursors.slice(0, -1)),
    next: (to: string) => setCursors([...cursors, to]),
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
