// The parts that the calls with each generated client share.

export function check(name: string, isRight: boolean): void {
  if (!isRight) throw new Error(name);
}

export async function until(isTrue: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await isTrue()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("it did not happen in time");
}
