import { readParquet } from "./parquet.ts";
import type { TableRows, TableSource } from "./table.ts";
import { readXlsx } from "./xlsx.ts";

/** The rows of a table in a binary file. */
export function readTable({ path, format, options }: TableSource): TableRows {
  return (onFound) =>
    format === "xlsx" ? readXlsx(path, options, onFound) : readParquet(path, onFound);
}
