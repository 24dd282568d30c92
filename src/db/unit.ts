import type { InValue, ResultSet } from "@libsql/client";

import { objectsWith } from "./row-objects.ts";

declare const ROW: unique symbol;

/**
 * SQL and its arguments. `Row` is the type of its rows. The author of the SQL declares it, because the SQL names the
 * columns; a statement without rows leaves it out.
 */
export type Statement<Row = never> = {
  readonly sql: string;
  readonly args: InValue[];
  /** Never present; it only carries the type. */
  readonly [ROW]?: Row;
};

/** Statements by name, in order. A part that does not apply is `undefined` or an empty list. */
export type Unit = { readonly [name: string]: Part };

type Part = Statement<unknown> | readonly Statement<unknown>[] | Unit | undefined;

/** The results of a unit, under the same names. The result of a list is the sum of its statements' results. */
export type ResultOf<P> =
  P extends Statement<infer Row>
    ? Result<Row>
    : P extends readonly Statement<infer Row>[]
      ? Result<Row>
      : P extends undefined
        ? undefined
        : { readonly [Name in keyof P]: ResultOf<P[Name]> };

/** A statement that returns rows has changed as many; the drivers differ in the count that they report. */
type Result<Row> = [Row] extends [never] ? Changed : Rows<Row>;

type Changed = { readonly changed: number };
type Rows<Row> = { readonly rows: Row[] };

/**
 * A unit to write, and the change of this process's memory that goes with it. Memory changes only in `committed`, so
 * a failed commit leaves it as it was, and the same can be planned again.
 */
export type Plan<U extends Unit> = {
  readonly unit: U;
  committed(results: ResultOf<U>): void;
};

/** All statements of a unit, in order. */
export function statementsOf(part: Part, into: Statement<unknown>[] = []): Statement<unknown>[] {
  if (part === undefined) return into;
  if (isStatement(part)) into.push(part);
  else for (const inner of Object.values(part)) statementsOf(inner, into);
  return into;
}

/** Whether there is nothing to be done. */
export function isEmpty(unit: Unit): boolean {
  return statementsOf(unit).length === 0;
}

/** Gives the results of `statementsOf(unit)` their names. Rows are read when somebody asks for them. */
export function nameResults<U extends Unit>(unit: U, results: readonly ResultSet[]): ResultOf<U> {
  let at = 0;
  const take = (part: Part): unknown => {
    if (part === undefined) return undefined;
    if (isStatement(part)) return resultOf(results.slice(at, (at += 1)));
    if (Array.isArray(part)) return resultOf(results.slice(at, (at += part.length)));
    return Object.fromEntries(Object.entries(part).map(([name, inner]) => [name, take(inner)]));
  };
  // There is one result for each statement, in the same order.
  return take(unit) as ResultOf<U>;
}

function resultOf(results: readonly ResultSet[]): Changed & Rows<unknown> {
  let rows: unknown[] | undefined;
  return {
    get changed() {
      return results.reduce((sum, { rowsAffected }) => sum + rowsAffected, 0);
    },
    get rows() {
      return (rows ??= results.flatMap((result) => rowsOf(result)));
    },
  };
}

/** The rows of a result as plain objects. */
export function rowsOf<Row>(result: ResultSet | undefined): Row[] {
  if (!result || result.rows.length === 0) return [];
  const toObject = objectsWith(result.columns);
  // The author of the SQL, which names the columns, declared their types with `Statement<Row>`.
  return result.rows.map((row) => toObject(row) as Row);
}

function isStatement(part: Statement<unknown> | readonly unknown[] | Unit): part is Statement {
  return "sql" in part && typeof part.sql === "string";
}
