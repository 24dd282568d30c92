import { z } from "zod";

import { encodingNamed } from "../lib/encoding.ts";
import type { JsonObject } from "../lib/json.ts";
import { Attachments } from "./attachments.ts";
import { MOST_CONDITION_CHARACTERS, problemWithCondition } from "./condition.ts";
import { FLEX_DEADLINE_MINUTES, SERVICE_TIERS } from "./flex.ts";
import { AnswerFields } from "./output.ts";
import { PRIORITIES } from "./task.ts";
import { ModelName, textOf } from "./text.ts";

/** A client's id for a task or batch. */
export const Id = z
  .string()
  .regex(/^[A-Za-z0-9_\-.:]{1,100}$/, "must be 1 to 100 of the characters A-Z a-z 0-9 _ - . :")
  .refine((id) => id !== "." && id !== "..", "must not be . or .., which no URL can name");

/** The name of the schema in the OpenAPI document, which `http` generates. */
const named = (name: string) => ({ "x-name": name });

const ContentPart = z.looseObject({ type: z.string() }).meta(named("ContentPart"));

/**
 * A message. Members that OpenAI does not define (`reasoning_content`, `cache_control`, …) are forwarded unchanged.
 */
export const Message = z
  .looseObject({
    role: z.enum(["system", "developer", "user", "assistant", "tool", "function"]),
    content: z.union([z.string(), z.array(ContentPart).min(1)]).nullish(),
    name: z.string().optional(),
    tool_calls: z.array(z.looseObject({})).optional(),
    tool_call_id: z.string().optional(),
    function_call: z.looseObject({}).optional(),
    refusal: z.string().nullish(),
    audio: z.looseObject({}).nullish(),
  })
  .refine(
    ({ role, content, ...rest }) =>
      (content ?? null) !== null || (role === "assistant" && Object.keys(rest).length > 0),
    { message: "a message needs content", path: ["content"] },
  )
  .meta(named("Message"));

/** Any JSON object. It comes from a JSON parser, so its values need no check. */
const JsonObjectField = z.record(z.string(), z.unknown());

/** Parameters that have a field of their own and would otherwise be given twice. */
const FIELDS_OF_OURS = ["model", "messages", "temperature"];

const Parameters = JsonObjectField.superRefine((parameters, check) => {
  for (const name of FIELDS_OF_OURS)
    if (name in parameters)
      check.addIssue({
        code: "custom",
        path: [name],
        message: `give ${name} as a field of its own`,
      });
});

/** The longest prompt, whether given or made by a template. */
export const MOST_PROMPT_CHARACTERS = 2_000_000;

/** The fields of a task's request, without its id and its batch. */
export const RequestFields = {
  prompt: z.string().min(1).max(MOST_PROMPT_CHARACTERS).optional(),
  messages: z.array(Message).min(1).max(10_000).optional(),
  model: ModelName.optional(),
  temperature: z.number().min(0).max(2).optional(),
  maxTokens: z.number().int().min(1).max(10_000_000).optional(),
  parameters: Parameters.optional(),
  metadata: JsonObjectField.optional(),
  priority: z.enum(PRIORITIES).optional(),
  maxRetries: z.number().int().min(0).max(100).optional(),
  timeoutMs: z.number().int().min(1).max(86_400_000).optional(),
  serviceTier: z
    .enum(SERVICE_TIERS)
    .describe(
      "Sent as `service_tier`. `flex` costs half where a provider has it and waits for room; a call " +
        "may take 15 minutes. What the answer says that it was served at is what is charged",
    )
    .optional(),
  flexDeadlineMinutes: z
    .number()
    .min(0)
    .max(43_200)
    .describe(
      `With \`flex\`: after this many minutes without room the request is sent at the standard tier, ` +
        `which the execution lists in \`adjusted\`. Unless set: ${FLEX_DEADLINE_MINUTES}`,
    )
    .optional(),
  cache: z
    .boolean()
    .describe(
      "Take the answer to an identical request, stored or in progress, at no cost, if there is one, " +
        "and keep this one's for others. Deleting the task that was answered ends that",
    )
    .optional(),
};

export const IdempotencyKey = textOf({ least: 1, most: 255 });

/** One task as a client describes it, in a request or in a row of a file. */
export const TaskInput = z
  .strictObject({
    id: Id.optional(),
    ...RequestFields,
    idempotencyKey: IdempotencyKey.optional(),
  })
  .meta(named("TaskInput"));
export type TaskInput = z.infer<typeof TaskInput>;

const Header = z
  .boolean()
  .describe("Whether the first row names the columns, else `column_1`, …; true unless given")
  .optional();

const HeaderRow = z
  .number()
  .int()
  .min(1)
  .max(1000)
  .describe(
    "The row that names the columns, from 1, where titles or notes stand above it; those are left out. The first " +
      "that is not blank unless given",
  )
  .optional();

type Headers = { header?: boolean | undefined; headerRow?: number | undefined };

function hasOneHeader({ header, headerRow }: Headers): boolean {
  return header !== false || headerRow === undefined;
}

const TWO_HEADERS = {
  path: ["headerRow"],
  message: "names the columns, which header: false says that no row does",
};

/** How to read a CSV file, if detection does not suffice. */
export const CsvOptions = z
  .strictObject({
    delimiter: z
      .string()
      .regex(/^[^"\r\n\0\uFEFF]$/, "must be one character, such as ; or a tab")
      .describe("What separates cells; detected (`,` `;` tab `|`) unless given")
      .optional(),
    encoding: z
      .string()
      .max(50)
      .refine(
        (label) => encodingNamed(label) !== undefined,
        "is not the name of an encoding, such as utf-8 or windows-1252",
      )
      .describe(
        "Such as `windows-1252` or `shift_jis` (WHATWG names); unless given, UTF-8, UTF-16 and " +
          "Windows-1252 are detected. For JSON files, too. A byte order mark wins",
      )
      .optional(),
    header: Header,
    headerRow: HeaderRow,
  })
  .refine(hasOneHeader, TWO_HEADERS)
  .meta(named("CsvOptions"));
export type CsvOptions = z.infer<typeof CsvOptions>;

/** How to read a workbook. */
export const XlsxOptions = z
  .strictObject({
    sheet: z
      .union([z.string().min(1).max(255), z.number().int().min(1).max(1000)])
      .describe("The name of the sheet, or its position from 1; the first visible one unless given")
      .optional(),
    values: z
      .enum(["plain", "formatted"])
      .describe(
        "`plain`, unless given: numbers as they are stored, dates in ISO 8601. `formatted`: the texts " +
          "that the spreadsheet shows, such as `25%`",
      )
      .optional(),
    header: Header,
    headerRow: HeaderRow,
  })
  .refine(hasOneHeader, TWO_HEADERS)
  .meta(named("XlsxOptions"));

const OnlyIf = z
  .string()
  .min(1)
  .max(MOST_CONDITION_CHARACTERS)
  .superRefine((text, check) => {
    const message = problemWithCondition(text);
    if (message !== null) check.addIssue({ code: "custom", message });
  })
  .describe(
    "A condition on the variables of a row, such as `{{label}} == 'spam' and {{score}} >= 0.5`: `== != < <= > >= " +
      "contains and or not`, brackets, texts in quotes, numbers. Beside a number a value is compared as a number, and " +
      "one that is none is unequal to it and neither less nor greater; beside a text as a text. Rows for which it is false end " +
      "as `cancelled` with the reason `skipped` when the batch is created: no call, no cost",
  );

/** The settings that the tasks of a batch share; a task's own fields win. */
export const BatchConfig = z
  .strictObject({
    model: RequestFields.model,
    temperature: RequestFields.temperature,
    maxTokens: RequestFields.maxTokens,
    maxConcurrency: z.number().int().min(1).max(10_000).optional(),
    maxCostUsd: z.number().positive().max(1_000_000_000).optional(),
    maxRetries: RequestFields.maxRetries,
    timeoutMs: RequestFields.timeoutMs,
    systemPrompt: z.string().min(1).max(1_000_000).optional(),
    promptTemplate: z.string().min(1).max(1_000_000).optional(),
    parameters: Parameters.optional(),
    serviceTier: RequestFields.serviceTier,
    flexDeadlineMinutes: RequestFields.flexDeadlineMinutes,
    cache: RequestFields.cache,
    ...AnswerFields,
    onlyIf: OnlyIf.optional(),
    attachments: Attachments.optional(),
    csv: CsvOptions.describe("How `inputFile` is to be read").optional(),
    xlsx: XlsxOptions.describe("How an `inputFile` that is a workbook is to be read").optional(),
    safeOutput: z
      .boolean()
      .describe("In `outputFile`, neutralise cells that a spreadsheet would run as formulas")
      .optional(),
  })
  .meta(named("BatchConfig"));
export type BatchConfig = z.infer<typeof BatchConfig>;

/** The same message objects, as JSON. */
export function asMessages(messages: z.infer<typeof Message>[]): JsonObject[] {
  return messages as JsonObject[];
}
