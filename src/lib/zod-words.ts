import { z } from "zod";

import { nearestName } from "./near-names.ts";
import { amountOf, formOf, kindOf, kindsOf, namesOf, oneOf, shown } from "./zod-forms.ts";

/*
 * What zod finds wrong, in words that a person can act on. Messages that a schema gives itself take precedence. The
 * words are a setting of the whole process, because the validators of the HTTP routes take none of their own; as zod
 * does with its own English, importing the module that reports issues sets them.
 */

type RawIssue = z.core.$ZodRawIssue;

/** What is kept on an issue of unknown names: those that would be known. */
type WithKnownNames = { known: readonly string[] };

/** The names that would be known in place of those of an issue. */
export function knownNamesOf(issue: z.core.$ZodIssueUnrecognizedKeys): readonly string[] {
  return "known" in issue && Array.isArray(issue.known) ? issue.known : [];
}

/** The words for an issue, as a whole sentence without its subject, which is the place: `must be a number`. */
function wordsFor(issue: RawIssue): string {
  // That of a check, too: it says what the whole rule is.
  const { schema } = issue;
  switch (issue.code) {
    case "invalid_type":
    case "invalid_value":
    case "invalid_union": {
      const names = schema && namesOf(schema);
      return names && typeof issue.input === "string"
        ? nameWords(names, issue.input)
        : typeWords(schema, issue.input);
    }
    case "too_small":
    case "too_big":
      return sizeWords(issue, schema);
    case "invalid_format":
      return formatWords(issue, schema);
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "unrecognized_keys":
      keepKnownNames(issue);
      return "has names that are not known";
    case "invalid_key":
      return `is not a name that can stand here: ${issue.issues[0]?.message ?? "another one is needed"}`;
    default:
      return "is not allowed";
  }
}

z.config({ customError: wordsFor });

function typeWords(schema: z.core.$ZodType | undefined, input: unknown): string {
  const form = schema ? formOf(schema) : "another value";
  if (input !== undefined) {
    const kind = kindOf(input);
    const canBe = schema ? kindsOf(schema) : [];
    return `must be ${form}${canBe.includes(kind) ? "" : `, not ${kind}`}`;
  }
  // That it is a text or an object goes without saying.
  return /^(a text|an object)/.test(form) ? "is missing" : `is missing; it must be ${form}`;
}

/** One of `names` was expected. */
function nameWords(names: readonly unknown[], input: string): string {
  const near = nearestName(input, names.map(String));
  return `must be ${oneOf(names)}${near === undefined ? "" : `; did you mean ${near}?`}`;
}

function sizeWords(
  issue: Extract<RawIssue, { code: "too_small" | "too_big" }>,
  schema: z.core.$ZodType | undefined,
): string {
  const { input } = issue;
  if (typeof input !== "string" && !Array.isArray(input))
    return schema ? `must be ${formOf(schema)}` : "must be another number";
  if (input.length === 0) return "must not be empty";
  const amount = schema ? amountOf(schema) : "another length";
  return `must have ${amount}, not ${shown(Array.from(input).length)}`;
}

function formatWords(
  issue: Extract<RawIssue, { code: "invalid_format" }>,
  schema: z.core.$ZodType | undefined,
): string {
  if (issue.format === "regex") return `must match the pattern ${issue.pattern}`;
  const form = schema ? formOf(schema) : "a text";
  return form.startsWith("a text") ? "must be written in another way" : `must be ${form}`;
}

/** zod gives the schema only to this function, and what is kept on the issue to those who read it. */
function keepKnownNames(issue: RawIssue): void {
  const known = issue.inst instanceof z.ZodObject ? Object.keys(issue.inst.shape) : [];
  Object.assign(issue, { known } satisfies WithKnownNames);
}
