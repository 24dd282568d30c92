/** Divides a list, in order, into groups of at most `most` in weight; a heavier item forms its own group. */
export function portionsOf<T>(
  items: readonly T[],
  weigh: (item: T) => number,
  most: number,
): T[][] {
  const groups: T[][] = [];
  let group: T[] = [];
  let weight = 0;
  for (const item of items) {
    const more = weigh(item);
    if (group.length > 0 && weight + more > most) {
      groups.push(group);
      group = [];
      weight = 0;
    }
    group.push(item);
    weight += more;
  }
  if (group.length > 0) groups.push(group);
  return groups;
}
