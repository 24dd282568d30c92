import { useEffect, useRef, useState } from "preact/hooks";

import { ApiError } from "../api/client.ts";
import { upload } from "../api/upload.ts";
import { Field } from "../ui/field.tsx";
import { bytes } from "../ui/format.ts";
import { Meter } from "../ui/meter.tsx";
import { toast } from "../ui/toast.tsx";

type Under = { name: string; size: number; share: number; stop: () => void };

/** Uploads files, one after the other, and shows how far each is. Leaving the page of files stops them. */
export function Uploads({ done }: { done: () => void }) {
  const [under, setUnder] = useState<Under>();
  const [error, setError] = useState("");
  const leaving = useRef(new AbortController());
  useEffect(() => () => leaving.current.abort(), []);

  async function send(input: HTMLInputElement): Promise<void> {
    const files = [...(input.files ?? [])];
    input.value = "";
    setError("");
    for (const file of files) if (!(await sendOne(file))) break;
    setUnder(undefined);
  }

  /** Returns whether the next file is to be sent: a refusal concerns only this one. */
  async function sendOne(file: File): Promise<boolean> {
    const abort = new AbortController();
    const signal = AbortSignal.any([abort.signal, leaving.current.signal]);
    const report = (share: number) =>
      setUnder({ name: file.name, size: file.size, share, stop: () => abort.abort() });
    report(0);
    try {
      const { name } = await upload(file, report, signal);
      toast(`${name} is uploaded`);
      done();
      return true;
    } catch (problem) {
      if (!(problem instanceof ApiError)) throw problem;
      const text = `${file.name}: ${problem.message}`;
      setError((before) => (before === "" ? text : `${before}; ${text}`));
      return problem.status !== 0;
    }
  }

  return (
    <div class="stack upload">
      <Field
        label="Upload"
        hint="Tables (CSV, XLSX, Parquet, JSON, JSONL), images and documents"
        error={error || undefined}
      >
        {({ id, describedBy, isWrong }) => (
          <input
            id={id}
            type="file"
            multiple
            disabled={under !== undefined}
            aria-describedby={describedBy}
            aria-invalid={isWrong || undefined}
            onChange={(event) => void send(event.currentTarget)}
          />
        )}
      </Field>
      {under && (
        <div class="actions">
          <span>
            {under.name}, {bytes(under.size * under.share)} of {bytes(under.size)}
          </span>
          <Meter
            value={under.share}
            most={1}
            label={`Upload of ${under.name}`}
            text={`${Math.round(under.share * 100)} %`}
          />
          <button type="button" class="small" onClick={under.stop}>
            Stop
          </button>
        </div>
      )}
    </div>
  );
}
