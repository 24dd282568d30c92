import { z } from "@hono/zod-openapi";

import * as service from "../../services/files.ts";
import type { StoredFile } from "../../store/files.ts";
import { whileKeyValid } from "../connections.ts";
import { downloads, sendDownload } from "../download.ts";
import { answerResource, resource } from "../etag.ts";
import { failures } from "../failures.ts";
import { readUpload } from "../multipart.ts";
import { nameOrTime, pageQuery, Pagination, pagination, toPage } from "../paging.ts";
import { route, routeByHand } from "../route.ts";
import { createRouter, done, json, needs, success, successOnly, Time, toIso } from "../router.ts";

const Params = z.object({
  id: z
    .string()
    .max(100)
    .openapi({ param: { name: "id", in: "path" }, example: "file-01k9z3v7q2m0c8x4t5r6w7y8z9" }),
});

export const FileBody = z
  .object({
    id: z.string(),
    name: z.string(),
    bytes: z.number().int(),
    sha256: z.string().openapi({ description: "Of the bytes, hexadecimal" }),
    createdAt: Time,
  })
  .openapi("StoredFile");

const upload = route({
  operationId: "uploadFile",
  method: "post",
  path: "/files",
  tags: ["files"],
  summary: "Upload a file",
  description:
    "A table (CSV, XLSX, Parquet, JSON, JSONL), an image or a document, as the part `file` of a form, up to MAX_FILE_BYTES. Its id can be the " +
    "`inputFile` of any number of batches, or appear in cells that `config.attachments` names.",
  ...needs("write"),
  request: {
    body: {
      content: {
        "multipart/form-data": {
          schema: z
            .object({ file: z.string().openapi({ format: "binary" }) })
            .openapi("FileUpload"),
        },
      },
      required: true,
    },
  },
  responses: { 201: json(FileBody, "The file"), ...failures(409) },
});

const list = route({
  operationId: "listFiles",
  method: "get",
  path: "/files",
  tags: ["files"],
  summary: "List uploaded files",
  ...needs("read"),
  request: { query: z.strictObject(pageQuery(["createdAt", "name"])) },
  responses: {
    200: json(
      z.object({ files: z.array(FileBody), pagination: Pagination }).openapi("FilePage"),
      "One page of files",
    ),
  },
});

const get = route({
  operationId: "getFile",
  method: "get",
  path: "/files/{id}",
  tags: ["files"],
  summary: "Get the metadata of a file",
  ...needs("read"),
  request: { params: Params },
  responses: { ...resource(FileBody, "The file"), ...failures(404) },
});

const content = route({
  operationId: "getFileContent",
  method: "get",
  path: "/files/{id}/content",
  tags: ["files"],
  summary: "Download a file, byte for byte",
  ...needs("read"),
  request: { params: Params },
  responses: {
    ...downloads("The bytes", {
      "application/octet-stream": { schema: z.string().openapi({ format: "binary" }) },
    }),
    ...failures(404, 416),
  },
});

const remove = route({
  operationId: "deleteFile",
  method: "delete",
  path: "/files/{id}",
  tags: ["files"],
  summary: "Delete a file; batches that were made from it keep their rows",
  description:
    "Tasks that attach it and have not been called fail as `ATTACHMENT_MISSING` when they are; calls in progress continue.",
  ...needs("write"),
  request: { params: Params },
  responses: { 200: done("The file was deleted"), ...failures(404) },
});

/** Whether the route itself reads the body while it arrives, so that middleware must not. */
export function isUpload(method: string, path: string): boolean {
  return method === "POST" && /^(\/api)?\/v1\/files$/.test(path);
}

const listed = createRouter()
  .openapi(list, async (c) => {
    const query = c.req.valid("query");
    const { files, total } = await service.listFiles(c.var.ctx, toPage(query));
    return c.json(
      success(c, {
        files: files.map(toBody),
        pagination: pagination(query, total, files, nameOrTime(query.sort)),
      }),
      200,
    );
  })
  .openapi(get, async (c) => {
    const file = await service.getFile(c.var.ctx, c.req.valid("param").id);
    return answerResource(c, toBody(file));
  })
  .openapi(content, async (c) => {
    const { file, opened } = await service.openFile(c.var.ctx, c.req.valid("param").id);
    const { name, sha256: tag } = file;
    return sendDownload(c, { name, type: "application/octet-stream", tag, content: { opened } });
  })
  .openapi(remove, async (c) => {
    await service.deleteFile(c.var.ctx, c.req.valid("param").id);
    return c.json(successOnly(c, "File deleted successfully"), 200);
  });

export const fileRoutes = createRouter().route("/", listed);
// Without a validator, which would first read the whole file into memory.
routeByHand(fileRoutes, upload, async (c) => {
  const file = await readUpload(
    c.req.raw,
    { clock: c.var.ctx.clock, maxPauseMs: c.var.ctx.config.bodyTimeoutMs },
    ({ name, content: bytes }) =>
      service.storeFile(c.var.ctx, c.var.caller, name, whileKeyValid(c, bytes)),
  );
  return c.json(success(c, toBody(file), "File uploaded successfully"), 201);
});

function toBody({ id, name, bytes, sha256, createdAt }: StoredFile): z.infer<typeof FileBody> {
  return { id, name, bytes, sha256, createdAt: toIso(createdAt) };
}
