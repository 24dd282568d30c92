import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";
import { parsedAnswer } from "../../src/domain/answer-json.ts";
import { readAnswer } from "../../src/domain/answer.ts";
import { parseJson } from "../../src/lib/json.ts";

/** The text in the answers to the prompts of a batch. */
type Reused = { id: string; prompt: string; response: string | null };

/** Checks that every reused answer belongs to the same request. */
export async function checkReused(truth: Client, complain: (what: string) => void): Promise<void> {
  const found = await truth.execute(
    `SELECT t.id, i.prompt, e.response FROM tasks t JOIN task_inputs i ON i.task = t.seq
       JOIN executions e ON e.task = t.seq AND e.run = t.run
     WHERE e.is_cached AND t.status = 'completed' AND i.prompt IS NOT NULL AND NOT e.is_dry_run`,
  );
  for (const { id, prompt, response } of rowsOf<Reused>(found)) {
    const content = readAnswer("/v1/chat/completions", parseJson(response ?? ""))?.content ?? "";
    if (/re: /.test(content) && !content.includes(`re: ${prompt.split("|")[0]}`))
      complain(`${id} took over ${content.slice(0, 50)}, and asks for ${prompt.slice(0, 50)}`);
  }
}

type Completed = { id: string; response: string | null };

/** Checks that every accepted answer matches its schema. */
export async function checkAnswers(truth: Client, complain: (what: string) => void): Promise<void> {
  const found = await truth.execute(
    `SELECT t.id, e.response FROM tasks t JOIN executions e ON e.task = t.seq AND e.run = t.run
     WHERE t.max_repairs IS NOT NULL AND t.status = 'completed' AND NOT e.is_dry_run`,
  );
  for (const { id, response } of rowsOf<Completed>(found)) {
    const answer = readAnswer("/v1/chat/completions", parseJson(response ?? ""));
    const parsed = parsedAnswer(answer?.content ?? null);
    if (typeof parsed?.["label"] !== "string")
      complain(`${id} is completed with ${answer?.content?.slice(0, 50)}, which has no label`);
  }
}
