import { checkJson } from "../lib/json-limits.ts";
import { isJsonObject, type JsonObject } from "../lib/json.ts";
import type { Endpoint } from "./request.ts";

/** What is wrong with a line, in OpenAI's words: `field` is the `param` of the error. */
type LineIssue = { code: string; field: string; message: string };

/** A line that can be sent, or what is wrong with it; with its id if it has one. */
export type OpenAiLine = { customId: string | undefined } & (
  | { body: JsonObject; issues: [] }
  | { body: null; issues: LineIssue[] }
);

/** Longer ones are refused, as OpenAI does. */
const LONGEST_CUSTOM_ID = 512;

/**
 * Reads a line of a file for OpenAI's Batch API
 * (https://platform.openai.com/docs/api-reference/batch/request-input). The errors are those that OpenAI lists
 * in `errors` of a batch that has failed. `checked` is the parsed text, if it was parsed already.
 */
export function readOpenAiLine(
  text: string,
  endpoint: Endpoint,
  checked = checkJson(text),
): OpenAiLine {
  if ("fault" in checked)
    return refused(undefined, [
      { code: "invalid_json_line", field: checked.fault.path, message: checked.fault.message },
    ]);
  const value = "value" in checked ? checked.value : undefined;
  if (!isJsonObject(value))
    return refused(undefined, [
      {
        code: "invalid_json_line",
        field: "",
        message: "This line is not parseable as valid JSON.",
      },
    ]);
  const { custom_id: id, method, url, body } = value;
  const customId = typeof id === "string" && id !== "" ? id : undefined;
  const issues: LineIssue[] = [];
  const missing = (["custom_id", "method", "url", "body"] as const).filter(
    (name) => value[name] === undefined || value[name] === null,
  );
  for (const name of missing)
    issues.push({
      code: "missing_required_parameter",
      field: name,
      message: `Missing required parameter: '${name}'.`,
    });
  if (!missing.includes("custom_id") && (customId === undefined || isTooLong(customId)))
    issues.push({
      code: "invalid_custom_id",
      field: "custom_id",
      message: `Invalid 'custom_id': expected a string of 1 to ${LONGEST_CUSTOM_ID} characters.`,
    });
  if (!missing.includes("method") && method !== "POST")
    issues.push({
      code: "invalid_method",
      field: "method",
      message: "Invalid method; only 'POST' is supported.",
    });
  if (!missing.includes("url") && url !== endpoint)
    issues.push({
      code: "url_mismatch",
      field: "url",
      message: `The URL provided for this request does not match the batch endpoint: ${endpoint}.`,
    });
  if (!missing.includes("body") && !isJsonObject(body))
    issues.push({
      code: "invalid_request",
      field: "body",
      message: "Invalid type for 'body': expected an object.",
    });
  if (issues.length > 0 || !isJsonObject(body)) return refused(customId, issues);
  return { customId, body, issues: [] };
}

/** By characters: a string counts some of them, such as emoji, twice. */
function isTooLong(id: string): boolean {
  if (id.length <= LONGEST_CUSTOM_ID) return false;
  return id.length > 2 * LONGEST_CUSTOM_ID || Array.from(id).length > LONGEST_CUSTOM_ID;
}

function refused(customId: string | undefined, issues: LineIssue[]): OpenAiLine {
  return { customId, body: null, issues };
}
