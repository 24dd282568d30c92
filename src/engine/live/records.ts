import { getLogger } from "@logtape/logtape";

import type { Context } from "../../context.ts";
import { cacheKeyOf } from "../../domain/cache-key.ts";
import { CAUSES, type Failure } from "../../domain/failure.ts";
import { standInOf } from "../../domain/provider.ts";
import { promptOf } from "../../domain/request.ts";
import { priorityRank } from "../../domain/task.ts";
import { background } from "../../lib/background.ts";
import type { LiveAnswer, LiveRequest } from "../../services/live.ts";
import { writeStored } from "../../services/stored-bytes.ts";
import { insertEnded, keptAnswer, type LiveExecution } from "../../store/live-tasks.ts";
import { readRows } from "../../store/rows.ts";

/** The error of an execution, from its failure. */
export function errorOf(failure: Failure | null): string | null {
  if (!failure) return null;
  const { cause, message, providerStatus } = failure;
  const { code, retryable } = CAUSES[cause];
  return JSON.stringify({ code, message, providerStatus, retryable });
}

/** Stores live calls as tasks, if configured or requested, and finds cached answers. */
export function createRecords(ctx: Context) {
  return {
    /** Stores an ended call. The answer does not wait for that. */
    keep(
      { taskId, model, endpoint, text, body, caller, trace, usesCache }: LiveRequest,
      execution: LiveExecution,
    ): void {
      if (taskId === null) return;
      const stored = writeStored(
        ctx,
        caller.key,
        insertEnded(
          {
            id: taskId,
            model,
            priority: priorityRank("normal"),
            maxRetries: null,
            timeoutMs: null,
            flexMinutes: null,
            maxRepairs: null,
            escalateTo: null,
            apiKey: caller.key,
            endpoint,
            body: text,
            cacheKey: usesCache ? cacheKeyOf(endpoint, body, false) : null,
            prompt: promptOf(body),
            metadata: null,
            trace,
            now: execution.startedAt,
          },
          execution,
        ),
      ).then(() => ctx.signals.emit("events", undefined));
      background(getLogger(["gptrunner", "live"]), "Storing a live call", stored);
    },

    /** The cached answer to the same request, if there is one. */
    async find({ endpoint, body }: LiveRequest): Promise<LiveAnswer | undefined> {
      const key = cacheKeyOf(endpoint, body, false);
      const [kept] = await readRows(ctx.client, keptAnswer(key, standInOf(ctx.config)));
      if (!kept) return undefined;
      ctx.meters.add("cached_answers_total", "", 1);
      return {
        status: 200,
        contentType: "application/json",
        body: kept.response,
        provider: kept.provider,
        adjusted: [],
        requestId: kept.requestId,
        costUsd: 0,
        retryAfterMs: null,
        isHopeless: false,
        isCached: true,
      };
    },
  };
}
