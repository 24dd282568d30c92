import type { InArgs, InStatement, InValue, ResultSet } from "@libsql/client";
import { LibsqlBatchError, LibsqlError } from "@libsql/client";

import { toResultSet } from "./local-client.ts";

/*
 * The requests to a libSQL server and its answers, as JSON over HTTP: version 2 of the protocol Hrana
 * (`docs/HTTP_V2_SPEC.md` in libSQL's repository).
 */

export type SqlRef = { sql: string } | { sql_id: number };

type Stmt = SqlRef & { args: WireValue[]; want_rows: boolean };

export type StreamRequest =
  | { type: "execute"; stmt: Stmt }
  | { type: "batch"; batch: { steps: { condition?: Condition; stmt: Stmt }[] } }
  | { type: "store_sql"; sql_id: number; sql: string }
  | { type: "close_sql"; sql_id: number }
  | { type: "close" };

type Condition = { type: "ok"; step: number } | { type: "not"; cond: Condition };

type WireValue =
  | { type: "null" }
  | { type: "integer"; value: string }
  | { type: "float"; value: number }
  | { type: "text"; value: string }
  | { type: "blob"; base64: string };

type WireError = { message: string; code?: string | null };

type StmtResult = {
  cols: { name?: string | null }[];
  rows: WireValue[][];
  affected_row_count: number;
};

export type StreamResult =
  | { type: "ok"; response: { result?: unknown } }
  | { type: "error"; error: WireError };

export type PipelineAnswer = {
  baton?: string | null;
  base_url?: string | null;
  results: StreamResult[];
};

export type Statement = { sql: string; args: readonly InValue[] };

/** A server answered with an HTTP status that means that it did not accept the request. */
export class HttpFailure extends Error {
  override readonly name = "HttpFailure";
  readonly status: number;
  constructor(status: number, said: string) {
    super(`Server returned HTTP status ${status}${said === "" ? "" : `: ${said}`}`);
    this.status = status;
  }
}

export function toStatement(given: InStatement | [string, InArgs?]): Statement {
  if (typeof given === "string") return { sql: given, args: [] };
  const [sql, args = []] = Array.isArray(given) ? given : [given.sql, given.args];
  if (!Array.isArray(args)) throw new TypeError("named arguments are not supported");
  return { sql, args };
}

/** One statement by itself. */
export function executeRequest({ args }: Statement, sql: SqlRef): StreamRequest {
  return { type: "execute", stmt: toStmt(sql, args) };
}

const BEGIN = { write: "BEGIN IMMEDIATE", read: "BEGIN TRANSACTION READONLY", deferred: "BEGIN" };
export type Mode = keyof typeof BEGIN;

/**
 * A whole transaction in one request, so that none stays open while the server waits for a client. Each step depends
 * on the one before it, and the transaction is rolled back unless its commit succeeded.
 */
export function batchRequest(
  statements: Statement[],
  mode: Mode,
  refer: (sql: string) => SqlRef,
): StreamRequest {
  const after = (step: number): Condition => ({ type: "ok", step });
  const commit = statements.length + 1;
  return {
    type: "batch",
    batch: {
      steps: [
        { stmt: toStmt({ sql: BEGIN[mode] }, []) },
        ...statements.map(({ sql, args }, i) => ({
          condition: after(i),
          stmt: toStmt(refer(sql), args),
        })),
        { condition: after(commit - 1), stmt: toStmt({ sql: "COMMIT" }, []) },
        {
          condition: { type: "not", cond: after(commit) } as const,
          stmt: toStmt({ sql: "ROLLBACK" }, []),
        },
      ],
    },
  };
}

/** The result of one statement. Throws the server's error. */
export function readExecute(result: StreamResult | undefined): ResultSet {
  return toResult(resultOf(result) as StmtResult);
}

/** The results of the statements of a transaction. Throws why it was not committed. */
export function readBatch(result: StreamResult | undefined, count: number): ResultSet[] {
  const { step_results: results, step_errors: errors } = resultOf(result) as {
    step_results: (StmtResult | null)[];
    step_errors: (WireError | null)[];
  };
  const begun = errors[0];
  if (begun) throw toError(begun);
  for (let i = 0; i < count; i++) {
    const { message, code } = errors[i + 1] ?? (results[i + 1] ? {} : NOT_RUN);
    if (message !== undefined) throw new LibsqlBatchError(message, i, code ?? "UNKNOWN");
  }
  const committed = errors[count + 1] ?? (results[count + 1] ? undefined : NOT_RUN);
  if (committed) throw toError(committed);
  return results.slice(1, count + 1).map((one) => toResult(one as StmtResult));
}

const NOT_RUN: Partial<WireError> & WireError = {
  message: "The statement was not executed, since the transaction was rolled back before",
  code: "TRANSACTION_CLOSED",
};

function resultOf(result: StreamResult | undefined): unknown {
  if (result === undefined) throw new LibsqlError("an answer is missing", "HRANA_PROTO_ERROR");
  if (result.type === "error") throw toError(result.error);
  return result.response.result;
}

function toError({ message, code }: WireError): LibsqlError {
  return new LibsqlError(message, code ?? "UNKNOWN");
}

function toResult({ cols, rows, affected_row_count }: StmtResult): ResultSet {
  return toResultSet(
    cols.map(({ name }) => name ?? ""),
    rows.map((row) => row.map(fromWire)),
    affected_row_count,
  );
}

function toStmt(sql: SqlRef, args: readonly InValue[]): Stmt {
  return { ...sql, args: args.map(toWire), want_rows: true };
}

/** Numbers are sent as floats, as libSQL's own client does; integer columns convert them. */
function toWire(value: InValue): WireValue {
  if (value === null) return { type: "null" };
  if (typeof value === "string") return { type: "text", value };
  if (typeof value === "number") return { type: "float", value };
  if (typeof value === "bigint") return { type: "integer", value: value.toString() };
  if (typeof value === "boolean") return { type: "integer", value: value ? "1" : "0" };
  if (value instanceof Date) return { type: "float", value: value.getTime() };
  return { type: "blob", base64: Buffer.from(new Uint8Array(value)).toString("base64") };
}

function fromWire(value: WireValue): unknown {
  switch (value.type) {
    case "null":
      return null;
    case "integer": {
      const number = Number(value.value);
      if (!Number.isSafeInteger(number))
        throw new RangeError("Received integer which is too large for a number of JavaScript");
      return number;
    }
    case "float":
    case "text":
      return value.value;
    case "blob":
      return Uint8Array.from(Buffer.from(value.base64, "base64")).buffer;
  }
}
