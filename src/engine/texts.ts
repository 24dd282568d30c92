import type { Context } from "../context.ts";
import { isAnswerTooLarge } from "../db/refusal.ts";
import { inHalves } from "../lib/in-halves.ts";
import { portionsOf } from "../lib/portions.ts";
import type { Claimed, ClaimedRow, Upcoming } from "../store/claim.ts";
import { readRows } from "../store/rows.ts";
import { readPiece, readTexts, type TaskText, type TextName } from "../store/texts.ts";

/** A text that was left out because it is too long. */
type Missing = { task: number; bytes: number };

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
        for (const { task, text } of await readSome(name, some))
          if (text !== null) found.set(task, text);
      });
    return found;
  }

  async function readSome(name: TextName, some: readonly Missing[]): Promise<TaskText[]> {
    const [first] = some;
    const tasks = some.map(({ task }) => task);
    const isLong = first !== undefined && first.bytes > chunks.answerBytes;
    try {
      if (!isLong) return await readRows(client, readTexts(name, tasks));
    } catch (error) {
      // In JSON a text may take several times as many bytes.
      if (some.length > 1 || !isAnswerTooLarge(error)) throw error;
    }
    return Promise.all(tasks.map(async (task) => ({ task, text: await readLong(name, task) })));
  }

  /** A character has at most four bytes. `null` if the text was deleted meanwhile. */
  async function readLong(name: TextName, task: number): Promise<string | null> {
    const length = Math.max(1, Math.floor(chunks.answerBytes / 4));
    let text = "";
    for (let from = 0; ; from += length) {
      const [row] = await readRows(client, readPiece(name, task, from, length));
      if (!row) return null;
      if (!row.piece) return text;
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
    async complete(rows: ClaimedRow[]): Promise<Claimed[]> {
      const bodies = await readAll("body", rows.filter(({ body }) => body === null).map(bodyOf));
      const answers = await readAll(
        "answer",
        rows.flatMap(({ task, answer, answerBytes }) =>
          answer === null && answerBytes !== null ? { task, bytes: answerBytes } : [],
        ),
      );
      const repairs = await readAll(
        "repair",
        rows.flatMap(({ task, repair, repairBytes }) =>
          repair === null && repairBytes !== null ? { task, bytes: repairBytes } : [],
        ),
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
      const bodies = await readAll("body", rows.filter(({ body }) => body === null).map(bodyOf));
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

function bodyOf({ task, bodyBytes }: Upcoming | ClaimedRow): Missing {
  return { task, bytes: bodyBytes };
}
