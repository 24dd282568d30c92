import type { ComponentChildren } from "preact";

import type { Resource } from "./resource.ts";

type CardProps = {
  id: string;
  title: string;
  note?: ComponentChildren;
  isWide?: boolean;
  children: ComponentChildren;
};

export function Card({ id, title, note, isWide = false, children }: CardProps) {
  return (
    <section class={isWide ? "card wide" : "card"} aria-labelledby={`${id}-title`}>
      <header>
        <h2 id={`${id}-title`}>{title}</h2>
        {note}
      </header>
      <div id={id} class="panel">
        {children}
      </div>
    </section>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

export function Loading() {
  return (
    <p class="empty" role="status">
      Loading…
    </p>
  );
}

type FailedProps = { error: { message: string }; retry?: () => void };

export function Failed({ error, retry }: FailedProps) {
  return (
    <div class="empty error actions" role="alert">
      {error.message}
      {retry && (
        <button type="button" class="small" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

type ShownProps<T> = { of: Resource<T>; children: (data: T) => ComponentChildren };

/** Shows a resource, that it is loading, or its error. Old content stays visible, dimmed. */
export function Shown<T>({ of, children }: ShownProps<T>) {
  if (of.data === undefined)
    return of.error ? <Failed error={of.error} retry={of.refresh} /> : <Loading />;
  return (
    <>
      {of.error && <Failed error={of.error} retry={of.refresh} />}
      <div class={of.error ? "shown stale" : "shown"}>{children(of.data)}</div>
    </>
  );
}
