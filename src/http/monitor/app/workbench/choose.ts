// The table of the draft. There is at most one upload; a newer choice stops it, so that the last choice is what stays. Leaving
// the workbench does not stop it.

import { effect, signal } from "@preact/signals";

import { ApiError, key } from "../api/client.ts";
import { upload } from "../api/upload.ts";
import { describe } from "../ui/form.tsx";
import { change, startAnew } from "./draft.ts";

export const uploading = signal<{ name: string; share: number } | undefined>(undefined);
/** Why the last upload has failed. */
export const uploadProblem = signal("");

let current: AbortController | undefined;

export function stopUpload(): void {
  current?.abort();
  current = undefined;
  uploading.value = undefined;
  uploadProblem.value = "";
}
// An upload ends with its session.
effect(() => {
  void key.value;
  stopUpload();
});

/** Uploads a file, and makes it the table of the draft. */
export async function chooseFile(file: File): Promise<void> {
  stopUpload();
  const mine = new AbortController();
  current = mine;
  const report = (share: number) => {
    if (current === mine) uploading.value = { name: file.name, share };
  };
  report(0);
  try {
    const { id } = await upload(file, report, mine.signal);
    if (current === mine) chooseUploaded({ id, name: file.name });
  } catch (problem) {
    if (current !== mine) return;
    stopUpload();
    if (problem instanceof ApiError) uploadProblem.value = describe(problem);
    else throw problem;
  }
}

/** Makes a file that was uploaded before the table of the draft. */
export function chooseUploaded(file: { id: string; name: string }): void {
  stopUpload();
  change({ file, row: 1, pilot: undefined });
}

export function startOver(): void {
  stopUpload();
  startAnew();
}
