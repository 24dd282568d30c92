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
  curl: ({ base, file, config, isDryRun }) => `export KEY=gtr_…
FILE=$(curl -s ${base}/files -H "Authorization: Bearer $KEY" \\
  -F ${quoted(`file=@${file}`)} | jq -r .data.id)
BATCH=$(jq -n --arg file "$FILE" ${quoted(`{inputFile: $file, config: ${JSON.stringify(config)}}`)} |
  curl -s ${base}/batches -H "Authorization: Bearer $KEY" \\
    -H "Content-Type: application/json" -d @- | jq -r .data.id)
curl -s -X POST ${base}/batches/$BATCH/execute -H "Authorization: Bearer $KEY" \\
  -H "Content-Type: application/json" -d '{"isDryRun": ${isDryRun}}'
# When it has ended:
curl -s "${base}/batches/$BATCH/results?format=xlsx" -H "Authorization: Bearer $KEY" -o results.xlsx
`,
  typescript: ({
    base,
    file,
    config,
    isDryRun,
  }) => `import { readFile, writeFile } from "node:fs/promises";

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
  python: ({ base, file, config, isDryRun }) => `import json
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
  cli: ({ file, config, isDryRun }) => {
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
    return `${head}${[`gptrunner run ${quoted(file)}`, ...flags, ...(needsFile ? ["--config config.json"] : [])].join(" \\\n  ")}\n`;
  },
};

/** For a shell. */
function quoted(text: string): string {
  return /^[\w./@=:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function indented(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll("\n", "\n  ");
}
