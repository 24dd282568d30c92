import { extname } from "node:path";

import type { Context } from "../context.ts";
import { RESULT_FORMATS, type ResultFormat } from "../domain/result-format.ts";
import { invalid } from "../errors.ts";
import { PathError, resolveInside } from "../lib/paths.ts";

/** Throws `VALIDATION_ERROR` unless results can be written to `outputFile`, as far as its name tells. */
export function requireOutputPath(
  ctx: Context,
  outputFile: string,
  inputFile: string | undefined,
): void {
  const wrong = (message: string) => invalid([{ path: "outputFile", message }]);
  if (!formatOf(outputFile))
    throw wrong(`its name must end in ${RESULT_FORMATS.map((format) => `.${format}`).join(", ")}`);
  try {
    const target = resolveInside(ctx.config.filesDir, outputFile);
    if (inputFile !== undefined && target === resolveOrNone(ctx, inputFile))
      throw wrong("is the inputFile, which would be overwritten");
  } catch (error) {
    if (!(error instanceof PathError)) throw error;
    throw wrong(`${JSON.stringify(outputFile)} ${error.message}`);
  }
}

function resolveOrNone(ctx: Context, path: string): string | undefined {
  try {
    return resolveInside(ctx.config.filesDir, path);
  } catch {
    return undefined;
  }
}

/** The format that a file's name asks for. */
export function formatOf(path: string): ResultFormat | undefined {
  const extension = extname(path).slice(1).toLowerCase();
  return RESULT_FORMATS.find((format) => format === extension);
}
