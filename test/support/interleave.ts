import type { InStatement } from "@libsql/client";

import type { Unit } from "../../src/db/unit.ts";
import type { TestServer } from "./server.ts";

/** Does something once, when the first unit with these parts is to be written, and before it is. */
export function beforeWrite({ ctx: { writer } }: TestServer, parts: string[], act: Act): void {
  const write = writer.write.bind(writer);
  const through = async (unit: Unit) => {
    if (!parts.every((part) => part in unit)) return write(unit);
    writer.write = write;
    await act();
    return write(unit);
  };
  writer.write = through as typeof writer.write;
}

type Act = () => Promise<unknown>;

/** Does something once, when a statement with this text is to be read for the first time, and before it is. */
export function beforeRead({ ctx: { client } }: Readable, text: string, act: Act): void {
  aroundRead(client, text, async (read) => {
    await act();
    return read();
  });
}

/** Does something once, when statements with this text were read so many times, before the last reader continues. */
export function afterRead({ ctx: { client } }: Readable, text: string, act: Act, times = 1): void {
  const after = async (read: Read) => {
    const result = await read();
    await act();
    return result;
  };
  aroundRead(client, text, after, times);
}

/** A server, or one of its pools of reads as `ctx`. */
type Readable = { ctx: { client: Reader } };
type Reader = Pick<TestServer["ctx"]["client"], "execute">;
type Read = () => ReturnType<Reader["execute"]>;

function aroundRead(
  client: Reader,
  text: string,
  around: (read: Read) => ReturnType<Read>,
  times = 1,
): void {
  let reads = 0;
  const execute = client.execute.bind(client);
  const through: typeof execute = (statement: InStatement) => {
    const sql = typeof statement === "string" ? statement : statement.sql;
    if (!sql.includes(text) || ++reads < times) return execute(statement);
    client.execute = execute;
    return around(() => execute(statement));
  };
  client.execute = through;
}
