import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

const text = signal("");
let timer: ReturnType<typeof setTimeout> | undefined;

/** Shows a message for a few seconds, also to screen readers. */
export function toast(message: string): void {
  text.value = message;
  clearTimeout(timer);
  timer = setTimeout(() => (text.value = ""), 6000);
}

export function Toast() {
  const ref = useRef<HTMLParagraphElement>(null);
  // Shown again, to be above an open dialog, which is above everything else.
  useEffect(() => {
    ref.current?.hidePopover();
    ref.current?.showPopover();
  }, [text.value]);
  return (
    <p ref={ref} class="toast" role="status" popover="manual">
      {text}
    </p>
  );
}
