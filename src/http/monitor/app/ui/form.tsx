import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { ApiError } from "../api/client.ts";
import { FieldErrors } from "./field.tsx";

type Props = {
  submitName: string;
  submit: () => Promise<unknown>;
  onCancel?: (() => void) | undefined;
  isDisabled?: boolean;
  isDangerous?: boolean;
  children: ComponentChildren;
};

type Wrong = { beside: ReadonlyMap<string, string>; rest: string };
const NOTHING_WRONG: Wrong = { beside: new Map(), rest: "" };

/** A form that is sent once at a time, and shows errors beside their fields. */
export function Form({
  submitName,
  submit,
  onCancel,
  isDisabled = false,
  isDangerous = false,
  children,
}: Props) {
  const ref = useRef<HTMLFormElement>(null);
  const [wrong, setWrong] = useState(NOTHING_WRONG);
  const [isSending, setSending] = useState(false);
  async function send(event: Event): Promise<void> {
    event.preventDefault();
    if (isSending) return;
    setSending(true);
    setWrong(NOTHING_WRONG);
    try {
      await submit();
    } catch (problem) {
      const fields = ref.current?.querySelectorAll<HTMLElement>("[data-field]") ?? [];
      setWrong(
        place(
          problem,
          [...fields].map(({ dataset }) => dataset["field"] ?? ""),
        ),
      );
    } finally {
      setSending(false);
    }
  }
  useEffect(() => {
    const first = ref.current?.querySelector<HTMLElement>('[aria-invalid="true"]');
    // Opens the section of the field, so that it is visible.
    first?.closest("details")?.setAttribute("open", "");
    first?.focus();
  }, [wrong]);
  return (
    <form class="stack" ref={ref} onSubmit={send}>
      <FieldErrors.Provider value={wrong.beside}>{children}</FieldErrors.Provider>
      {wrong.rest && (
        <p class="error" role="alert">
          {wrong.rest}
        </p>
      )}
      <footer>
        {onCancel && (
          <button type="button" onClick={onCancel}>
            Cancel
          </button>
        )}
        <button class={isDangerous ? "danger" : "primary"} disabled={isSending || isDisabled}>
          {submitName}
        </button>
      </footer>
    </form>
  );
}

/** Divides an error into those of fields and the rest. */
function place(problem: unknown, names: string[]): Wrong {
  if (!(problem instanceof ApiError)) return { beside: new Map(), rest: describe(problem) };
  const beside = new Map<string, string>();
  const longest = names.toSorted((a, b) => b.length - a.length);
  const others = problem.issues.filter(({ path = "", message }) => {
    const name = longest.find((one) => path === one || path.startsWith(`${one}.`));
    if (name === undefined || message === undefined) return true;
    const within = path.slice(name.length + 1);
    const text = within === "" ? message : `${within} ${message}`;
    beside.set(name, [beside.get(name), text].filter(Boolean).join("; "));
    return false;
  });
  if (beside.size === 0) return { beside, rest: describe(problem) };
  const rest = others.map(({ path, message }) => [path, message].filter(Boolean).join(" "));
  return {
    beside,
    rest: rest.join("; ") || "It was not accepted: see the messages beside the fields.",
  };
}

export function describe(problem: unknown): string {
  if (!(problem instanceof ApiError))
    return problem instanceof Error ? problem.message : String(problem);
  const more = problem.issues
    .slice(0, 5)
    .map(({ path, message }) => [path, message].filter(Boolean).join(" "))
    .filter((text) => text !== "" && !problem.message.includes(text));
  return [problem.message, ...more].join("; ");
}
