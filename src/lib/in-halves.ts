/**
 * Does something with a list. If that fails because the list is too large (`isTooMuch`), does it with its halves, one
 * after the other, and so on. Rejects with any other error, and with that of a single item.
 */
export async function inHalves<T>(
  items: readonly T[],
  isTooMuch: (error: unknown) => boolean,
  work: (some: readonly T[]) => Promise<void>,
): Promise<void> {
  if (items.length === 0) return;
  try {
    await work(items);
  } catch (error) {
    if (items.length === 1 || !isTooMuch(error)) throw error;
    const middle = Math.ceil(items.length / 2);
    await inHalves(items.slice(0, middle), isTooMuch, work);
    await inHalves(items.slice(middle), isTooMuch, work);
  }
}
