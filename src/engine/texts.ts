import type { Context } from "../context.ts";
import { isAnswerTooLarge } from "../db/refusal.ts";
import { inHalves } from "../lib/in-halves.ts";
import { portionsOf } from "../lib/portions.ts";
import type { Claimed, ClaimedRow, Upcoming } from "../store/claim.ts";
import { readRows } from "../store/rows.ts";
import {
  type KeyedText,
  readPiece,
  readTexts,
  type TextKey,
  type TextName,
} from "../store/texts.ts";

/** A text that was left out because it is too long. */
type Missing = { task: number; key: TextKey; bytes: number };

/** What a process has claimed at once. */
export type ClaimId = { owner: number; claimNo: number };

export type Texts = ReturnType<typeof createTexts>;

/**
 * Reads long texts that were left out of the database's answers: as many at a time as fit into an answer, and one
 * that does not fit in pieces.
 */
export function createTexts({ client, chunks }: Pick<Context, "client" | "chunks">) {
  async function readAll(name: TextName, missing: Missing[]): Promise<Map<number, string>> {
    const found = new Map<number, string>();
    for (const group of portionsOf(missing, ({ bytes }) => bytes, chunks.answerBytes))
      await inHalves(group, isAnswerTooLarge, async (some) => {
        for (const { at, text } of await readSome(name, some)) {
          const task = some[at]?.task;
          if (task !== undefined && text !== null) found.set(task, text);
        }
      });
    return found;
  }

  async function readSome(name: TextName, some: readonly Missing[]): Promise<KeyedText[]> {
    const [first] = some;
    const keys = some.map(({ key }) => key);
    const isLong = first !== undefined && first.bytes > chunks.answerBytes;
    try {
      if (!isLong) return await readRows(client, readTexts(name, keys));
    } catch (error) {
      // In JSON a text may take several times as many bytes.
      if (some.length > 1 || !isAnswerTooLarge(error)) throw error;
    }
    return Promise.all(keys.map(async (key, at) => ({ at, text: await readLong(name, key) })));
  }

  /** A character has at most four bytes. `null` if the text was deleted meanwhile. */
  async function readLong(name: TextName, key: TextKey): Promise<string | null> {
    const length = Math.max(1, Math.floor(chunks.answerBytes / 4));
    let text = "";
    for (let from = 0; ; from += length) {
      const [row] = await readRows(client, readPiece(name, key, from, length));
      if (!row || row.piece === null) return null;
      if (row.piece === "") return text;
      text += row.piece;
    }
  }

  return {
    /** The longest text to include in an answer of `rows` rows with `each` texts. */
    bytesFor: (rows: number, each: number): number =>
      Math.floor(chunks.answerBytes / Math.max(1, rows * each)),

    /**
     * Adds the missing texts to claimed runs. A stored answer that was deleted meanwhile is left out. A run whose
     * request, or whose answer to repair, was deleted is no longer claimed and is dropped.
     */
    async complete(rows: ClaimedRow[], { owner, claimNo }: ClaimId): Promise<Claimed[]> {
      const keyOf = ({ task }: ClaimedRow): TextKey => [task, owner, claimNo];
      const bodies = await readAll(
        "claimedBody",
        rows.flatMap((row) => missing(row.task, row.body, row.bodyBytes, keyOf(row))),
      );
      const answers = await readAll(
        "answer",
        rows.flatMap((row) =>
          missing(row.task, row.answer, row.answerBytes, [row.answerTask ?? 0, row.answerRun ?? 0]),
        ),
      );
      const repairs = await readAll(
        "repair",
        rows.flatMap((row) => missing(row.task, row.repair, row.repairBytes, keyOf(row))),
      );
      return rows.flatMap((row) => {
        const body = row.body ?? bodies.get(row.task);
        const answer = row.answer ?? answers.get(row.task) ?? null;
        const repair = row.repair ?? repairs.get(row.task) ?? null;
        if (body === undefined || (repair === null && row.repairBytes !== null)) return [];
        return [{ ...row, body, answer, repair }];
      });
    },

    /** The bodies of upcoming runs, in their order. */
    async bodiesOf(rows: Upcoming[]): Promise<{ task: number; body: string }[]> {
      const bodies = await readAll(
        "body",
        rows.flatMap(({ task, body, bodyBytes }) => missing(task, body, bodyBytes, [task])),
      );
      return rows.map(({ task, body }) => ({ task, body: body ?? bodies.get(task) ?? "" }));
    },
  };
}

/** Whether a claimed run has all its texts. */
export function isComplete(row: ClaimedRow): row is ClaimedRow & Claimed {
  return (
    row.body !== null &&
    (row.answer !== null || row.answerBytes === null) &&
    (row.repair !== null || row.repairBytes === null)
  );
}

/** A text that has so many bytes, if it was left out. */
function missing(
  task: number,
  text: string | null,
  bytes: number | null,
  key: TextKey,
): Missing | [] {
  return text === null && bytes !== null ? { task, key, bytes } : [];
}
