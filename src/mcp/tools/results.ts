import { z } from "zod";

import { Id } from "../../domain/task-input.ts";
import { TASK_STATUSES } from "../../domain/task.ts";
import { invalid } from "../../errors.ts";
import { cut, MOST_CHARACTERS, withoutNulls } from "../cut.ts";
import { pathOf } from "../rest.ts";
import { defineTool, type Tool, type World } from "../tool.ts";

const OWN = {
  batchId: Id.describe("The id of a batch"),
  status: z.enum(TASK_STATUSES).optional().describe("Rows of this status only"),
  limit: z.number().int().min(1).max(100).default(20).describe("Rows of a page (20 unless given)"),
  cursor: z.string().max(500).optional().describe("`nextCursor` of the page before"),
};

const LOCAL = {
  saveTo: z
    .string()
    .min(1)
    .optional()
    .describe(
      "Instead of a page: write all results to a new file on this machine, whose ending says how (.csv, .xlsx, " +
        ".jsonl, .json)",
    ),
};

const ABOUT = {
  name: "results",
  title: "Read the answers of a batch",
  description:
    "One page of the answers, in the order of the input, also while the batch runs. With `config.output` an answer is " +
    `the JSON object that was asked for. A page has ${MOST_CHARACTERS} characters of answers at most.`,
  annotations: { readOnlyHint: true },
};

type Own = z.output<z.ZodObject<typeof OWN>> & { saveTo?: string | undefined };

/** The tool `results`; with `isLocal`, it can write a file on the user's machine. */
export function results(isLocal: boolean): Tool {
  return isLocal
    ? defineTool({
        ...ABOUT,
        annotations: { readOnlyHint: false, destructiveHint: false },
        own: { ...OWN, ...LOCAL },
        passed: {},
        run,
      })
    : defineTool({ ...ABOUT, own: OWN, passed: {}, run });
}

async function run({ own }: { own: Own }, world: World): Promise<object> {
  const { batchId, saveTo } = own;
  if (saveTo === undefined) return readPage(own, world);
  if (!world.local) throw invalid([{ path: "saveTo", message: "is not a known field" }]);
  await world.local.save(batchId, saveTo, world.signal);
  return { batchId, savedTo: saveTo };
}

type Row = {
  id: string;
  status: string;
  result: string | null;
  reason: string | null;
  error: { code: string; message: string } | null;
};

type Page = { tasks: Row[]; pagination: { total: number; nextCursor: string | null } };

async function readPage({ batchId, status, limit, cursor }: Own, { rest, signal }: World) {
  const read = (rows: number) =>
    rest.call<Page>(pathOf("batches", batchId), {
      query: { limit: rows, status, cursor },
      signal,
    });
  let page = await read(limit);
  const fitting = countFitting(page.tasks);
  // The cursor after the last row that fits is that of a page that ends with it.
  if (fitting < page.tasks.length) page = await read(fitting);
  const { total, nextCursor } = page.pagination;
  return withoutNulls({
    batchId,
    total,
    rows: page.tasks.map(describeRow),
    nextCursor,
    next: nextCursor === null ? null : "Call `results` again with `cursor` set to `nextCursor`",
  });
}

/** How many rows fit into a page; at least one, whose answer is cut if it is too long. */
function countFitting(rows: Row[]): number {
  let room = MOST_CHARACTERS;
  const count = rows.findIndex(({ result }) => (room -= result?.length ?? 0) < 0);
  return count === -1 ? rows.length : Math.max(count, 1);
}

function describeRow({ id, status, result, reason, error }: Row) {
  return withoutNulls({
    id,
    status,
    answer: result === null ? null : cut(result),
    error: error && `${error.code}: ${error.message}`,
    reason,
  });
}
