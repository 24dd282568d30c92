import { extname } from "node:path";

import type { Context } from "../context.ts";
import { RESULT_FORMATS, type ResultFormat } from "../domain/result-format.ts";
import { invalid } from "../errors.ts";
import { UPLOADS } from "../lib/file-store.ts";
import { PathError, resolveInside, resolveUnreserved } from "../lib/paths.ts";
import { explainPath } from "./explain-path.ts";

/** Throws `VALIDATION_ERROR` unless results can be written to `outputFile`, as far as its name shows. */
export function requireOutputPath(
  ctx: Context,
  outputFile: string,
  inputFile: string | undefined,
): void {
  const message = outputProblem(ctx, outputFile, inputFile);
  if (message !== undefined) throw invalid([{ path: "outputFile", message }]);
}

/** Why results cannot be written to `outputFile`, as far as its name shows. */
export function outputProblem(
  ctx: Context,
  outputFile: string,
  inputFile: string | undefined,
): string | undefined {
  if (!formatOf(outputFile))
    return `its name must end in ${RESULT_FORMATS.map((format) => `.${format}`).join(", ")}`;
  try {
    const target = resolveUnreserved(ctx.config.filesDir, outputFile, UPLOADS);
    return inputFile !== undefined && target === resolveOrNone(ctx, inputFile)
      ? "is the inputFile, which would be overwritten"
      : undefined;
  } catch (error) {
    if (!(error instanceof PathError)) throw error;
    return explainPath(outputFile, error, "write");
  }
}

function resolveOrNone(ctx: Context, path: string): string | undefined {
  try {
    return resolveInside(ctx.config.filesDir, path);
  } catch {
    return undefined;
  }
}

/** The format that a file's name stands for. */
export function formatOf(path: string): ResultFormat | undefined {
  const extension = extname(path).slice(1).toLowerCase();
  return RESULT_FORMATS.find((format) => format === extension);
}
