import process from "node:process";

import { act, amount, commaList, serverCommand, whole } from "./command.ts";

/** `gptrunner run FILE`. */
export function runCommand() {
  return serverCommand(
    "run",
    "Run each row of a file (CSV, XLSX, Parquet, JSONL) and write the answers",
  )
    .argument("<file>", "the file; - reads the standard input and writes to the standard output")
    .option("--prompt <text>", "the prompt of each row; {{column}} stands for its cell")
    .option("--system <text>", "the system prompt, with {{column}}, too")
    .option("--model <name>", "the model of rows that name none")
    .option(
      "--columns <names>",
      "columns that answers are to have, such as label,reason",
      commaList,
    )
    .option("--schema <file>", "a JSON Schema that answers are to match")
    .option("--temperature <number>", "0 to 2", Number)
    .option("--max-tokens <n>", "the longest answer", whole(1))
    .option("--only-if <condition>", "rows for which it is false are left out: {{score}} > 3")
    .option("--sheet <name>", "of a workbook: the sheet, by name or position")
    .option("--config <file>", "JSON with further fields of a batch's `config`")
    .option(
      "--out <file>",
      "where results go (.csv, .xlsx, .jsonl, .json); - is the standard output",
    )
    .option("--force", "replace that file", false)
    .option("--limit <n>", "a trial: the first rows only, for real", whole(1))
    .option("--max-cost <usd>", "pause before it costs more", amount)
    .option("--concurrency <n>", "rows at once", whole(1))
    .option("--yes", "do not ask whether to run it", false)
    .option("--simulate", "let the built-in simulator answer, at no cost", false)
    .option("--again", "run everything again, even if it has been run before", false)
    .action((file, options) =>
      act(options.json, async (tools) => {
        const { run } = await import("./run/run.ts");
        return run(file, options, { tools, words: process.argv.slice(2) });
      }),
    );
}
