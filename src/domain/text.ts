import { z } from "zod";

/** SQLite ends a text at U+0000 when it measures, compares or prints it, so that the rest would be lost. */
export const NUL = "\u0000";

/** A text from a client, such as a name, a description or a path, of up to `most` characters. */
export function textOf({ least = 0, most }: { least?: number; most: number }) {
  return z
    .string()
    .min(least)
    .max(most)
    .refine((text) => !text.includes(NUL), { error: "must not contain the character U+0000" });
}

export const Name = textOf({ least: 1, most: 200 });
/** The name of a model. It is a label of metrics, and counts are stored by it. */
export const ModelName = textOf({ least: 1, most: 200 });
export const Description = textOf({ most: 10_000 });
/** A note on the purpose of a webhook. */
export const WebhookDescription = textOf({ most: 1000 });
/** The path of a file to read or to write. */
export const FilePath = textOf({ least: 1, most: 1000 });
