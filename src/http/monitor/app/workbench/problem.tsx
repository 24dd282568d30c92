/** Why the run cannot begin; an empty text if it can. `isOld`: it is about an earlier state, and the current one is being checked. */
export type Problem = { text: string; isOld: boolean };

export const NO_PROBLEM: Problem = { text: "", isOld: false };

export function ProblemText({ text, isOld }: Problem) {
  if (text === "") return null;
  return isOld ? <span class="quiet">Checking…</span> : <span class="error">{text}</span>;
}
