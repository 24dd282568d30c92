import type { OpenAPIHono } from "@hono/zod-openapi";

import packageJson from "../../package.json" with { type: "json" };
import type { AppEnv } from "./router.ts";

/**
 * `/llms.txt` (https://llmstxt.org): describes the server on one page of Markdown, for an agent that knows only its
 * address. It needs no key, so it contains nothing particular to this server. Links are relative, and commands begin
 * with `$BASE`, because a proxy may serve the server below a path.
 */
export function addLlms(app: OpenAPIHono<AppEnv>): void {
  app.get("/llms.txt", (c) =>
    c.body(ABOUT, 200, {
      "Content-Type": "text/plain; charset=utf-8",
      "Cache-Control": "public, max-age=300",
    }),
  );
}

const ABOUT = `# GPT Task Runner

> Runs prompts through language models in bulk: each row of a table becomes a prompt, and its answer a row of results.
> Batches survive restarts, an answer that is stored is never paid for again, and spending can be capped.
> This is version ${packageJson.version}.

## Authentication

Every request below \`api/v1\`, and \`mcp\`, needs an API key: \`Authorization: Bearer KEY\`. The person who runs the server
makes keys; ask them for one. Scopes are \`read\`, \`write\` and \`admin\`. The commands below take the key from \`$KEY\`, and
the address of this file without \`/llms.txt\` from \`$BASE\`.

Answers are \`{"success": true, "data": …}\` or \`{"success": false, "error": {"code", "message", "details"}}\`. Messages say
what was wrong, where, and what to do. 429 and 503 have \`Retry-After\`. Unknown fields are refused.

## Tools (Model Context Protocol)

[mcp](mcp) speaks MCP over streamable HTTP, with the same key. Tools: ask, run_batch, status, results, estimate, retry,
control_batch, models, list_schedules, create_schedule, run_schedule.

## Ask one thing

\`\`\`bash
curl "$BASE/api/v1/tasks?execute=true" -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\
  -H "Prefer: wait=30" -d '{"prompt": "Why is the sky blue?"}'
\`\`\`

\`data.result.content\` is the answer. Without it, the task goes on: \`GET api/v1/tasks/ID\`.

## Run a file

Upload a table (CSV, XLSX, Parquet, JSON, JSONL), make a batch of it, look at the estimate, start it, and download the
results. \`{{column}}\` stands for a cell; \`output\` names the fields that each answer is to have. \`maxCostUsd\` caps the cost,
and \`{"isDryRun": true}\` in the body of \`execute\` lets a simulator answer at no cost.

\`\`\`bash
printf 'city\\nOslo\\nRome\\n' > cities.csv
FILE=$(curl "$BASE/api/v1/files" -H "Authorization: Bearer $KEY" -F file=@cities.csv | grep -o 'file-[0-9a-z]*' | head -1)
curl "$BASE/api/v1/batches" -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" -d '{
  "id": "cities", "inputFile": "'"$FILE"'",
  "config": {"promptTemplate": "In which country is {{city}}?", "output": ["country"], "maxCostUsd": 1}}'
curl "$BASE/api/v1/batches/cities/estimate" -H "Authorization: Bearer $KEY"
curl -X POST "$BASE/api/v1/batches/cities/execute" -H "Authorization: Bearer $KEY"
curl -N "$BASE/api/v1/batches/cities/events?types=batch.*" -H "Authorization: Bearer $KEY"
curl "$BASE/api/v1/batches/cities/results?format=csv" -H "Authorization: Bearer $KEY"
\`\`\`

The event stream ends when the batch has ended; \`GET api/v1/batches/cities\` shows how it stands.
\`POST api/v1/batches/cities/retry\` runs what failed again. An \`Idempotency-Key\` makes it safe to send a request twice.

## Models

\`GET api/v1/models\`, with the key, lists the models that can be named (\`model\`, \`config.model\`) and their prices. Unless one
is named, the server's default model answers.

## More

- [openapi.json](openapi.json): every operation, with its fields and errors (OpenAPI 3.1)
- [docs](docs): the same, to read and to try
- [api/v1/status](api/v1/status): whether every part works, and what the key may do
`;
