import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { toast } from "./toast.tsx";

type Props = {
  children: ComponentChildren;
  run: () => unknown;
  /** Its accessible name. */
  label?: string | undefined;
  /** If set, a second press is needed; the label of the button then. */
  sure?: string | undefined;
  kind?: "primary" | "normal" | "plain" | "small" | "small primary" | undefined;
  isDisabled?: boolean | undefined;
  title?: string | undefined;
};

const SURE_MS = 5000;

/** A button that does one thing at a time, and says what went wrong. It keeps the focus meanwhile. */
export function Action({
  children,
  run,
  label,
  sure,
  kind = "small",
  isDisabled = false,
  title,
}: Props) {
  const [isRunning, setRunning] = useState(false);
  const [isAsking, setAsking] = useState(false);
  const isThere = useRef(true);
  useEffect(() => () => void (isThere.current = false), []);
  useEffect(() => {
    if (!isAsking) return undefined;
    const timer = setTimeout(() => setAsking(false), SURE_MS);
    return () => clearTimeout(timer);
  }, [isAsking]);

  async function press(event: Event): Promise<void> {
    event.stopPropagation();
    if (isRunning || isDisabled) return;
    if (sure !== undefined && !isAsking) return setAsking(true);
    setAsking(false);
    setRunning(true);
    try {
      await run();
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error));
    } finally {
      if (isThere.current) setRunning(false);
    }
  }

  const shown = isAsking ? sure : children;
  return (
    <button
      type="button"
      class={kind}
      title={title}
      aria-label={label && (isAsking ? `${sure} ${label}` : label)}
      aria-disabled={isRunning || isDisabled ? "true" : undefined}
      onClick={press}
    >
      {shown}
    </button>
  );
}
