/** A longer name is not compared, because the time that it takes grows with its length. */
const LONGEST_COMPARED = 100;
/** A name is taken for the beginning of another one from this length on. */
const SHORTEST_BEGINNING = 4;

/** The known name that a mistyped one probably stands for. Case, `_` and `-` do not matter. */
export function nearestName(given: string, known: readonly string[]): string | undefined {
  if (given.length < 2 || given.length > LONGEST_COMPARED) return undefined;
  const wanted = bare(given);
  const most = Math.max(1, Math.floor(wanted.length / 3));
  const near = known
    .map((name) => ({ name, distance: editDistance(wanted, bare(name)) }))
    .filter(({ distance }) => distance <= most && distance < wanted.length)
    .toSorted((a, b) => a.distance - b.distance);
  if (near[0]) return near[0].name;
  if (wanted.length < SHORTEST_BEGINNING) return undefined;
  return known.find((name) => bare(name).startsWith(wanted));
}

function bare(name: string): string {
  return name.toLowerCase().replaceAll(/[_-]/g, "");
}

/**
 * The number of edits that turn one text into the other: characters added, left out or replaced, and neighbours swapped
 * (optimal string alignment).
 */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwapped ? (before[j - 2] ?? 0) + 1 : Infinity;
      next.push(Math.min(changed, swapped, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
