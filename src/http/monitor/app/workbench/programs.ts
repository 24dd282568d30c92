// A run as a program: the same calls that the page makes.

export const LANGUAGES = [
  ["curl", "curl"],
  ["typescript", "TypeScript"],
  ["python", "Python"],
  ["cli", "Command line"],
] as const;
export type Language = (typeof LANGUAGES)[number][0];

type Run = { base: string; file: string; config: Record<string, unknown>; isDryRun: boolean };

export function programFor(language: Language, run: Run): string {
  return WRITERS[language](run);
}

const WRITERS: Record<Language, (run: Run) => string> = {
  curl: ({ base, file, config, isDryRun }) => `# KEY is an API key, as in: export KEY=gtr_…
AUTH="Authorization: Bearer $KEY"
JSON="Content-Type: application/json"
ID='s/.*"data":{"id":"\\([^"]*\\)".*/\\1/p'
FILE=$(curl -sS ${base}/files -H "$AUTH" -F ${quoted(`file=@"${file.replaceAll(/["\\]/g, "\\$&")}"`)} | sed -n "$ID")
BATCH=$(curl -sS ${base}/batches -H "$AUTH" -H "$JSON" \\
  -d '{"inputFile": "'$FILE'", "config": '${quoted(JSON.stringify(config))}'}' | sed -n "$ID")
curl -sS ${base}/batches/$BATCH/execute -H "$AUTH" -H "$JSON" -d '{"isDryRun": ${isDryRun}}'
# The events end with the batch.
curl -sSN "${base}/batches/$BATCH/events?types=batch.*" -H "$AUTH"
curl -sS "${base}/batches/$BATCH/results?format=xlsx" -H "$AUTH" -o results.xlsx
`,
  typescript: ({ base, file, config, isDryRun }) => `// KEY is an API key, as in: export KEY=gtr_…
import { readFile, writeFile } from "node:fs/promises";

const base = ${JSON.stringify(base)};
const headers = { authorization: \`Bearer \${process.env.KEY}\` };
const call = async (method: string, path: string, body?: unknown) => {
  const isForm = body instanceof FormData;
  const response = await fetch(base + path, {
    method,
    headers: isForm || body === undefined ? headers : { ...headers, "content-type": "application/json" },
    body: isForm ? body : JSON.stringify(body),
  });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()).data;
};

const form = new FormData();
form.append("file", new Blob([await readFile(${JSON.stringify(file)})]), ${JSON.stringify(file)});
const { id: inputFile } = await call("POST", "/files", form);
const { id } = await call("POST", "/batches", {
  inputFile,
  config: ${indented(config)},
});
await call("POST", \`/batches/\${id}/execute\`, { isDryRun: ${isDryRun} });
const events = await fetch(\`\${base}/batches/\${id}/events?types=batch.*\`, { headers });
for await (const _ of events.body!) continue; // ends with the batch
const results = await fetch(\`\${base}/batches/\${id}/results?format=xlsx\`, { headers });
await writeFile("results.xlsx", Buffer.from(await results.arrayBuffer()));
`,
  python: ({ base, file, config, isDryRun }) => `# KEY is an API key, as in: export KEY=gtr_…
import json
import os
import requests

base = ${JSON.stringify(base)}
http = requests.Session()
http.headers["Authorization"] = f"Bearer {os.environ['KEY']}"

def call(path, **body):
    response = http.post(base + path, **body)
    response.raise_for_status()
    return response.json()["data"]

with open(${JSON.stringify(file)}, "rb") as table:
    input_file = call("/files", files={"file": table})["id"]
config = json.loads(r"""${JSON.stringify(config, null, 2).replaceAll('"""', '\\"\\"\\"')}""")
batch = call("/batches", json={"inputFile": input_file, "config": config})["id"]
call(f"/batches/{batch}/execute", json={"isDryRun": ${isDryRun ? "True" : "False"}})
with http.get(f"{base}/batches/{batch}/events?types=batch.*", stream=True) as events:
    for _ in events.iter_lines():  # ends with the batch
        pass
with open("results.xlsx", "wb") as results:
    results.write(http.get(f"{base}/batches/{batch}/results?format=xlsx").content)
`,
  cli: ({ base, file, config, isDryRun }) => {
    const { promptTemplate, systemPrompt, model, output, ...others } = config;
    const flags = [
      typeof promptTemplate === "string" && `--prompt ${quoted(promptTemplate)}`,
      typeof systemPrompt === "string" && `--system ${quoted(systemPrompt)}`,
      typeof model === "string" && `--model ${quoted(model)}`,
      typeof config["temperature"] === "number" && `--temperature ${config["temperature"]}`,
      typeof config["maxTokens"] === "number" && `--max-tokens ${config["maxTokens"]}`,
      typeof config["maxCostUsd"] === "number" && `--max-cost ${config["maxCostUsd"]}`,
      typeof config["maxConcurrency"] === "number" && `--concurrency ${config["maxConcurrency"]}`,
      isDryRun && "--simulate",
    ].filter((flag) => flag !== false);
    const needsFile = output !== undefined || others["cache"] !== undefined;
    const rest = {
      ...(output === undefined ? {} : { output }),
      ...(others["cache"] ? { cache: true } : {}),
    };
    const head = needsFile
      ? `cat > config.json <<'JSON'\n${JSON.stringify(rest, null, 2)}\nJSON\n`
      : "";
    const start = [
      "# GPTRUNNER_KEY is an API key, as in: export GPTRUNNER_KEY=gtr_…",
      `gptrunner run ${quoted(file)} --server ${quoted(base.replace(/\/api\/v1$/, ""))}`,
    ].join("\n");
    return `${head}${[start, ...flags, ...(needsFile ? ["--config config.json"] : [])].join(" \\\n  ")}\n`;
  },
};

/** For a shell. */
function quoted(text: string): string {
  return /^[\w./@=:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function indented(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll("\n", "\n  ");
}
