import { readFileSync } from "node:fs";
import process from "node:process";

/** If a script is called with `--help`, prints the comment at its head and ends the process. `url` is that of the script. */
export function answerHelp(url: string): void {
  if (!process.argv.slice(2).some((word) => word === "--help" || word === "-h")) return;
  const [, comment = ""] = /\/\*\n(.*?)\n \*\//s.exec(readFileSync(new URL(url), "utf8")) ?? [];
  console.log(comment.replace(/^ \* ?/gm, ""));
  process.exit(0);
}
