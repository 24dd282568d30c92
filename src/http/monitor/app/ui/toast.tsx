import { signal } from "@preact/signals";

const text = signal("");
let timer: ReturnType<typeof setTimeout> | undefined;

/** Shows a message for a few seconds, also to screen readers. */
export function toast(message: string): void {
  text.value = message;
  clearTimeout(timer);
  timer = setTimeout(() => (text.value = ""), 6000);
}

export function Toast() {
  return (
    <p class="toast" role="status">
      {text}
    </p>
  );
}
