import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { ApiError } from "../api/client.ts";

type Props = {
  submitName: string;
  submit: () => Promise<unknown>;
  onCancel?: (() => void) | undefined;
  isDisabled?: boolean;
  children: ComponentChildren;
};

/** A form that is sent once at a time, and says in place what is wrong with it. */
export function Form({ submitName, submit, onCancel, isDisabled = false, children }: Props) {
  const [error, setError] = useState("");
  const [isSending, setSending] = useState(false);
  async function send(event: Event): Promise<void> {
    event.preventDefault();
    if (isSending) return;
    setSending(true);
    setError("");
    try {
      await submit();
    } catch (problem) {
      setError(describe(problem));
    } finally {
      setSending(false);
    }
  }
  return (
    <form class="stack" onSubmit={send}>
      {children}
      {error && (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      <footer>
        {onCancel && (
          <button type="button" onClick={onCancel}>
            Cancel
          </button>
        )}
        <button class="primary" disabled={isSending || isDisabled}>
          {submitName}
        </button>
      </footer>
    </form>
  );
}

export function describe(problem: unknown): string {
  if (!(problem instanceof ApiError))
    return problem instanceof Error ? problem.message : String(problem);
  const more = problem.details
    .slice(0, 5)
    .map(({ path, message }) => [path, message].filter(Boolean).join(" "))
    .filter((text) => text !== "" && !problem.message.includes(text));
  return [problem.message, ...more].join("; ");
}
