import type { z } from "zod";

import { nearestName } from "./near-names.ts";
import { knownNamesOf } from "./zod-words.ts";

type Issue = z.core.$ZodIssue;

/** What is wrong with a value, and where: in which member of which member. */
export type Finding = { path: PropertyKey[]; message: string };

/** What the checked value and its names are called in a message. */
type Terms = { whole?: string; name?: string };

/** More known names than these are not listed. */
const MOST_LISTED = 20;
/** An unknown name is part of the message's place, and may be anything. */
const LONGEST_NAME = 100;

/** What is wrong with a value, and where. An unknown name is reported at its own path. */
export function issuesOf(
  issues: readonly Issue[],
  { whole = "the body", name = "field" }: Terms = {},
): { path: string; message: string }[] {
  return findingsOf(issues, { name }).map(({ path, message }) => ({
    path: path.join("."),
    message: path.length === 0 && whole !== "" ? `${whole} ${message}` : message,
  }));
}

/** The same as one text. */
export function problemsIn(issues: readonly Issue[]): string {
  return issuesOf(issues, { whole: "it" })
    .map(({ path, message }) => `${path} ${message}`.trim())
    .join("; ");
}

/** The same for a row of a file, whose places are fields. */
export function rowIssuesOf(issues: readonly Issue[]): { field: string; message: string }[] {
  return issuesOf(issues, { whole: "the row" }).map(({ path, message }) => ({
    field: path,
    message,
  }));
}

/** Like `issuesOf`, with the parts of each path. */
export function findingsOf(issues: readonly Issue[], { name = "field" }: Terms = {}): Finding[] {
  const seen = new Set<string>();
  return issues.flatMap((issue) => {
    // A value of the wrong type cannot be judged further, as zod does with the length of a text instead of a list.
    const place = issue.path.join(".");
    if (seen.has(place)) return [];
    if (isOfWrongType(issue)) seen.add(place);
    return toFindings(issue, name);
  });
}

/** Says that a name is not known, and what it may have been meant to be. */
export function unknownName(given: string, known: readonly string[], name: string): string {
  const near = nearestName(given, known);
  if (near !== undefined) return `is not a known ${name}; did you mean ${near}?`;
  if (known.length === 0) return `is not a known ${name}; there are none here`;
  if (known.length > MOST_LISTED) return `is not a known ${name}`;
  const listed = known.length === 1 ? `there is only ${known[0]}` : `there are ${known.join(", ")}`;
  return `is not a known ${name}; ${listed}`;
}

function toFindings(issue: Issue, name: string): Finding[] {
  const { path, message } = issue;
  if (issue.code === "unrecognized_keys") {
    const known = knownNamesOf(issue);
    return issue.keys.map((key) => ({
      path: [...path, key.slice(0, LONGEST_NAME)],
      message: unknownName(key, known, name),
    }));
  }
  if (issue.code !== "invalid_union") return [{ path, message }];
  // If the value has the type of one form only, what is wrong with it in this form says more.
  const [near, ...others] = issue.errors.filter((form) => !form.some(isOfWrongTypeItself));
  if (!near || near.length === 0 || others.length > 0) return [{ path, message }];
  return findingsOf(near, { name }).map((finding) => ({
    path: path.concat(finding.path),
    message: finding.message,
  }));
}

function isOfWrongTypeItself(issue: Issue): boolean {
  return issue.path.length === 0 && isOfWrongType(issue);
}

function isOfWrongType(issue: Issue): boolean {
  // A number that is not whole is a number.
  if (issue.code === "invalid_type") return issue.expected !== "int";
  return issue.code === "invalid_value" || issue.code === "invalid_union";
}
