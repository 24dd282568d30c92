import { toast } from "./toast.tsx";

/** What can be read this once. */
export function Secret({ what, value, close }: { what: string; value: string; close: () => void }) {
  return (
    <div class="stack">
      <p>{what}. It is shown this once.</p>
      <pre tabindex={0} aria-label={what}>
        {value}
      </pre>
      <footer>
        <button
          type="button"
          onClick={async () => {
            await navigator.clipboard.writeText(value);
            toast("Copied");
          }}
        >
          Copy
        </button>
        <button type="button" class="primary" onClick={close}>
          I have kept it
        </button>
      </footer>
    </div>
  );
}
