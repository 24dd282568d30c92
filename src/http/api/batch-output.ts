import { posix } from "node:path";

import { z } from "@hono/zod-openapi";

import { sha256Hex } from "../../lib/hash.ts";
import { formatOf } from "../../services/output-path.ts";
import { openOutput } from "../../services/outputs.ts";
import { CONTENT_TYPES, downloads, sendDownload } from "../download.ts";
import { failures } from "../failures.ts";
import { route } from "../route.ts";
import { createRouter, FreeObject, needs } from "../router.ts";
import { BatchParams } from "./batches.ts";

const output = route({
  operationId: "getBatchOutput",
  method: "get",
  path: "/batches/{id}/output",
  tags: ["batches"],
  summary: "Download the outputFile of a batch",
  description:
    "The file as it lies in the files folder, or in the bucket of `FILES_URL`, once `output.status` is `written`; " +
    "409 until then. If a later batch has written a file of the same name, it is that one. " +
    "`…/results` gives the results of any batch, also while it runs.",
  ...needs("read"),
  request: { params: BatchParams },
  responses: {
    ...downloads("The file, byte for byte", {
      "text/csv": { schema: z.string() },
      "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {
        schema: z.string().openapi({ format: "binary" }),
      },
      "application/jsonl": { schema: z.string() },
      "application/json": { schema: z.array(FreeObject) },
    }),
    ...failures(404, 409, 416),
  },
});

export const batchOutputRoutes = createRouter().openapi(output, async (c) => {
  const { path, opened } = await openOutput(c.var.ctx, c.req.valid("param").id);
  return sendDownload(c, {
    name: posix.basename(path),
    type: CONTENT_TYPES[formatOf(path) ?? "csv"],
    tag: sha256Hex(opened.version).slice(0, 32),
    content: { opened },
  });
});
