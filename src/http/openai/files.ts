import { Hono } from "hono";

import type { Config } from "../../config.ts";
import type { AppError } from "../../errors.ts";
import { type FileTerms, openFile, storeFile } from "../../services/files.ts";
import * as service from "../../services/openai-files.ts";
import { badParam } from "../../services/openai-refusal.ts";
import { readResultFile, resultFileTag } from "../../services/openai-results.ts";
import { requireSameResults } from "../../services/results-tag.ts";
import { whileKeyValid } from "../connections.ts";
import { CONTENT_TYPES, sendDownload } from "../download.ts";
import { type FormTerms, readUpload } from "../multipart.ts";
import { type AppEnv, needs } from "../router.ts";
import { toBytes } from "../stream.ts";
import {
  afterOf,
  limitOf,
  listOf,
  missing,
  orderOf,
  seconds,
  secondsOrNull,
  unknownParam,
  unknownValue,
} from "./query.ts";

const PURPOSES = ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"];
const FIELDS = [
  "purpose",
  "expires_after[anchor]",
  "expires_after[seconds]",
  "expires_after.anchor",
  "expires_after.seconds",
];
const FORM: FormTerms = {
  known: new Set(FIELDS),
  noFile: () => missing("file"),
  unknownPart: (name) => unknownParam(name, ["file", ...FIELDS]),
};
const SHORTEST_LIFE_SECONDS = 3600;
const LONGEST_LIFE_SECONDS = 2_592_000;

/** https://platform.openai.com/docs/api-reference/files, over the uploads of this server and the results of its batches. */
export const openAiFileRoutes = new Hono<AppEnv>()
  .post("/files", needs("write").middleware, async (c) => {
    const { ctx, caller } = c.var;
    const pace = { clock: ctx.clock, maxPauseMs: ctx.config.bodyTimeoutMs };
    const file = await readUpload(
      c.req.raw,
      pace,
      ({ name, content, fields }) =>
        storeFile(ctx, caller, name, limited(whileKeyValid(c, content), ctx.config), (file) =>
          termsOf(fields, { name, ...file }, ctx.config),
        ),
      FORM,
    );
    c.set("answeredId", file.id);
    return c.json(toBody(service.describeUpload(file)), 200);
  })
  .get("/files", needs("read").middleware, async (c) => {
    const query = c.req.query();
    const { files, hasMore } = await service.listOpenAiFiles(c.var.ctx, {
      after: afterOf(query),
      purpose: query["purpose"],
      order: orderOf(query),
      limit: limitOf(query, { most: 10_000, usual: 10_000 }),
    });
    return c.json(listOf(files.map(toBody), hasMore), 200);
  })
  .get("/files/:id", needs("read").middleware, async (c) =>
    c.json(toBody(await service.describeFile(c.var.ctx, c.req.param("id"))), 200),
  )
  .delete("/files/:id", needs("write").middleware, async (c) => {
    const id = c.req.param("id");
    await service.deleteOpenAiFile(c.var.ctx, id);
    return c.json({ id, object: "file", deleted: true }, 200);
  })
  .get("/files/:id/content", needs("read").middleware, async (c) => {
    const { ctx } = c.var;
    const id = c.req.param("id");
    const found = await service.requireOpenAiFile(ctx, id);
    if ("upload" in found) {
      const { file, opened } = await openFile(ctx, id);
      const { name, sha256: tag } = file;
      return sendDownload(c, { name, type: "application/octet-stream", tag, content: { opened } });
    }
    const { result } = found;
    const tag = resultFileTag(result);
    const answer = await sendDownload(c, {
      name: `${id}.jsonl`,
      type: CONTENT_TYPES.jsonl,
      tag,
      content: {
        read: () => toBytes(readResultFile(ctx, result)),
        requireSame: () => requireSameResults(ctx, result.batch),
      },
    });
    if (tag === null) answer.headers.set("X-Incomplete", "true");
    return answer;
  });

/** OpenAI answers 400 with these first words, and not 413. */
function tooLarge(why: string): AppError {
  return badParam("file", `File is too large. ${why}`, "file_too_large");
}

async function* limited(
  content: AsyncIterable<Uint8Array>,
  { maxFileBytes }: Pick<Config, "maxFileBytes">,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of content) {
    bytes += chunk.length;
    if (bytes > maxFileBytes) throw tooLarge(`The maximum is ${maxFileBytes} bytes.`);
    yield chunk;
  }
}

/** Checks the fields of a file, when all of it has arrived. */
function termsOf(
  fields: ReadonlyMap<string, string>,
  { name, bytes, now }: { name: string; bytes: number; now: number },
  { openAiMaxFileBytes }: Pick<Config, "openAiMaxFileBytes">,
): FileTerms {
  const purpose = fields.get("purpose");
  if (purpose === undefined) throw missing("purpose");
  if (!PURPOSES.includes(purpose)) throw unknownValue("purpose", purpose, PURPOSES);
  if (bytes === 0) throw badParam("file", "File is empty.", "empty_file");
  if (purpose === "batch" && !/\.jsonl$/i.test(name))
    throw badParam(
      "file",
      "Invalid file format for Batch API. Must be .jsonl",
      "invalid_file_format",
    );
  if (purpose === "batch" && bytes > openAiMaxFileBytes)
    throw tooLarge(
      `It has ${bytes} bytes, and the maximum for the Batch API is ${openAiMaxFileBytes} bytes.`,
    );
  const life = lifeOf(fields);
  return { purpose, expiresAt: life === undefined ? null : now + life * 1000 };
}

function lifeOf(fields: ReadonlyMap<string, string>): number | undefined {
  const [anchor, text] = ["anchor", "seconds"].map(
    (name) => fields.get(`expires_after[${name}]`) ?? fields.get(`expires_after.${name}`),
  );
  if (anchor === undefined && text === undefined) return undefined;
  return lifeIn({ anchor, seconds: Number(text) }, "expires_after");
}

/** The seconds of `expires_after` and `output_expires_after`, counted from `created_at`. */
export function lifeIn({ anchor, seconds: life }: Record<string, unknown>, param: string): number {
  if (anchor !== "created_at")
    throw badParam(
      `${param}.anchor`,
      `Invalid value for '${param}.anchor': expected 'created_at'.`,
    );
  if (typeof life === "number" && Number.isInteger(life))
    if (life >= SHORTEST_LIFE_SECONDS && life <= LONGEST_LIFE_SECONDS) return life;
  throw badParam(
    `${param}.seconds`,
    `Invalid '${param}.seconds': expected an integer from ${SHORTEST_LIFE_SECONDS} to ${LONGEST_LIFE_SECONDS}.`,
  );
}

function toBody({ id, name, bytes, purpose, createdAt, expiresAt }: service.OpenAiFile) {
  return {
    id,
    object: "file" as const,
    bytes,
    created_at: seconds(createdAt),
    expires_at: secondsOrNull(expiresAt),
    filename: name,
    purpose,
    status: "processed" as const,
    status_details: null,
  };
}
