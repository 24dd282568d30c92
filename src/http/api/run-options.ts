import { z } from "@hono/zod-openapi";

import { invalid } from "../../errors.ts";
import { maybe } from "../paging.ts";

export const IdempotencyHeader = z.object({
  "idempotency-key": z
    .string()
    .optional()
    .openapi({ description: "The same request with the same key is done once; quoted or bare" }),
});

export function waitHeader(what: string) {
  return z.object({
    prefer: z
      .string()
      .optional()
      .openapi({
        description:
          `\`wait=N\`: answer when ${what}, or after N seconds (at most 60). Other preferences, and a \`wait\` that is no ` +
          "whole number of seconds, are ignored (RFC 7240); `Preference-Applied` in the answer shows that it waited",
      }),
  });
}

/** `isDryRun` is accepted in the query and in the body, because a request for a dry run must never cost money. */
export const DryRunQuery = maybe("Let the simulator answer").optional();

type DryRun = { isDryRun?: boolean | undefined };

/** Whether a dry run was requested. Throws `VALIDATION_ERROR` if query and body contradict each other. */
export function dryRunOf(query: DryRun, body: DryRun): boolean {
  if (query.isDryRun !== undefined && (body.isDryRun ?? query.isDryRun) !== query.isDryRun)
    throw invalid([{ path: "isDryRun", message: "is not the same in the query and in the body" }]);
  return query.isDryRun ?? body.isDryRun ?? false;
}

export const ExecutionStarted = z
  .object({ executionId: z.string(), status: z.literal("running") })
  .openapi("ExecutionStarted");
