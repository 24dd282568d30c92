import { parseExactOrNone } from "../lib/exact-json.ts";
import { escapeLineEnds, isJsonObject, parseJson } from "../lib/json.ts";
import type { Answer } from "./answer.ts";
import { columnNames } from "./columns.ts";
import { answerOf, finishReasonOf, parsedOf, type ResultSource } from "./result-row.ts";
import { cellOf } from "./result-table.ts";
import { executionId } from "./task.ts";

/** A result as the text of one JSON object, which begins with the members of the input's row. */
export function jsonLine({ columns }: { columns: string[] | null }): (row: ResultSource) => string {
  const members = columns && columnNames(columns);
  return (row) => {
    const { text, names } = inputMembers(row, members);
    const added = Object.entries(resultMembers(row, names.has("id"))).map(
      ([name, value]) => `${JSON.stringify(nameFor(name, names))}:${JSON.stringify(value)}`,
    );
    return `{${text}${text === "" ? "" : ","}${escapeLineEnds(added.join(","))}}`;
  };
}

function nameFor(name: string, names: Set<string>): string {
  return names.has(name) ? nameFor(`task_${name}`, names) : name;
}

/** The members of the input row, as text: those of a JSONL line byte for byte. */
export function inputMembers(
  row: ResultSource,
  columns: string[] | null,
): { text: string; names: Set<string> } {
  const input = row.cells === null ? undefined : parseJson(row.cells);
  if (isJsonObject(input)) {
    const text = (row.cells ?? "").trim().slice(1, -1).trim();
    return { text, names: new Set(Object.keys(input)) };
  }
  if (!Array.isArray(input) || columns === null) return { text: "", names: new Set() };
  const members = columns.map(
    (name, i) => `${JSON.stringify(name)}:${JSON.stringify(cellOf(input[i]))}`,
  );
  return { text: members.join(","), names: new Set(columns) };
}

function resultMembers(row: ResultSource, hasId: boolean): Record<string, unknown> {
  const answer = answerOf(row);
  const { toolCalls = null, refusal = null } = answer ?? {};
  return {
    ...(row.cells === null ? { id: row.id } : hasId ? {} : { taskId: row.id }),
    status: row.status,
    model: answer?.model ?? row.calledModel ?? (row.cells === null ? row.model : null),
    result: answer?.content ?? null,
    ...(row.maxRepairs === null ? {} : { parsed: parsedOf(row, answer) }),
    error: row.error === null ? null : parseJson(row.error),
    finishReason: finishReasonOf(row, answer),
    toolCalls,
    refusal,
    usage: usageOf(row, answer),
    costUsd: row.costUsd,
    attempts: row.attempts ?? 0,
    executionId: row.run === null ? null : executionId(row.seq, row.run),
    ...(row.isDryRun ? { isDryRun: true } : {}),
    cached: row.isCached === 1,
    ...(row.cells === null
      ? { metadata: row.metadata === null ? null : (parseExactOrNone(row.metadata) ?? null) }
      : {}),
  };
}

/** The usage of the answer. A reused answer shows that of the original call. */
function usageOf(row: ResultSource, answer: Answer | undefined) {
  const { promptTokens, completionTokens } = (row.isCached ? answer?.usage : undefined) ?? row;
  if (promptTokens === null) return null;
  return { promptTokens, completionTokens, ...(row.isEstimated ? { estimated: true } : {}) };
}
