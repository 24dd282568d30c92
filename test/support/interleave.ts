import type { Unit } from "../../src/db/unit.ts";
import type { TestServer } from "./server.ts";

/** Does something once, when the first unit with these parts is to be written, and before it is. */
export function beforeWrite(
  { ctx: { writer } }: TestServer,
  parts: string[],
  act: () => Promise<unknown>,
): void {
  const write = writer.write.bind(writer);
  const through = async (unit: Unit) => {
    if (!parts.every((part) => part in unit)) return write(unit);
    writer.write = write;
    await act();
    return write(unit);
  };
  writer.write = through as typeof writer.write;
}
