import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

type Props = {
  title: string;
  kind?: "form" | "drawer";
  onClose: () => void;
  actions?: ComponentChildren;
  children: ComponentChildren;
};

/**
 * A dialog, open while it is rendered. Escape closes it, and so does a press outside a drawer; a form keeps what was typed
 * into it. The focus returns to where it was.
 */
export function Dialog({ title, kind = "form", onClose, actions, children }: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    dialog?.showModal();
    return () => {
      dialog?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={kind}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onMouseDown={(event) => {
        if (kind === "drawer" && event.target === ref.current) onClose();
      }}
    >
      <header>
        <h2 id={id} dir="auto">
          {title}
        </h2>
        <span class="spring" />
        {actions}
        <button type="button" class="small" onClick={onClose}>
          Close
        </button>
      </header>
      {children}
    </dialog>
  );
}
