import { parseExactOrNone } from "../lib/exact-json.ts";
import { isJsonObject, parseJson } from "../lib/json.ts";
import type { ResultSource } from "./result-row.ts";
import { executionId } from "./task.ts";

/** The data of a task for a line of OpenAI's output or error file. */
export type LineSource = ResultSource & { requestId: string | null };

/**
 * A line of the output file or the error file of a batch
 * (https://platform.openai.com/docs/api-reference/batch/request-output). It contains the provider's answer unchanged.
 * A request that the provider refused has its status and its error; one that was never answered has an `error` and no
 * response.
 */
export function resultLine(row: LineSource, hasExpired: boolean): string {
  const head = `{"id":${JSON.stringify(lineId(row))},"custom_id":${JSON.stringify(customIdOf(row))}`;
  if (row.status === "completed" && row.response !== null)
    return `${head},"response":${respond(200, row.requestId, row.response)},"error":null}\n`;
  if (row.status === "cancelled") {
    const why = row.isSkipped === 1 ? SKIPPED : hasExpired ? EXPIRED : CANCELLED;
    return `${head},"response":null,"error":${JSON.stringify(why)}}\n`;
  }
  const { code, message, providerStatus } = errorOf(row);
  if (providerStatus === null || providerStatus < 400)
    return `${head},"response":null,"error":${JSON.stringify({ code, message })}}\n`;
  const body = JSON.stringify({
    error: { message, type: typeOf(providerStatus), param: null, code },
  });
  return `${head},"response":${respond(providerStatus, row.requestId, body)},"error":null}\n`;
}

const EXPIRED = {
  code: "batch_expired",
  message: "This request could not be executed before the completion window expired.",
};
const CANCELLED = {
  code: "batch_cancelled",
  message: "This request was not executed because the batch was cancelled.",
};
const SKIPPED = { code: "skipped", message: "onlyIf is false for this row." };

/**
 * Some providers format answers over several lines. Within JSON strings line breaks are escaped, so those outside can
 * be removed.
 */
function respond(status: number, requestId: string | null, body: string): string {
  const line = /[\r\n]/.test(body) ? body.replace(/[\r\n]+/g, " ") : body;
  return `{"status_code":${status},"request_id":${JSON.stringify(requestId ?? "")},"body":${line}}`;
}

function lineId({ seq, run }: LineSource): string {
  return `batch_req_${executionId(seq, run ?? 0)}`;
}

/** The `custom_id` of a line: that of the row, or its id in other files, or else the id of the task. */
function customIdOf({ cells, id }: LineSource): string {
  const line = cells === null ? undefined : parseExactOrNone(cells);
  if (!isJsonObject(line)) return id;
  const own = line["custom_id"] ?? line["id"];
  return typeof own === "string"
    ? own
    : own === undefined || own === null
      ? id
      : JSON.stringify(own);
}

function errorOf({ error }: LineSource) {
  const parsed = error === null ? undefined : parseJson(error);
  const { code, message, providerStatus } = isJsonObject(parsed) ? parsed : {};
  return {
    // OpenAI's codes are in lower case.
    code: typeof code === "string" ? code.toLowerCase() : "server_error",
    message: typeof message === "string" ? message : "The request failed.",
    providerStatus: typeof providerStatus === "number" ? providerStatus : null,
  };
}

/** How OpenAI types errors by their status. */
function typeOf(status: number): string {
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}
