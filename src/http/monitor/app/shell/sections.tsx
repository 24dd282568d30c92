import type { ComponentChildren } from "preact";

import type { Scope } from "../../../../domain/scope.ts";
import { may, scopes } from "../api/client.ts";
import { Empty, Loading } from "../ui/panel.tsx";

/** The sections of the page, in the navigation or linked elsewhere, and the scope that each needs. */
export const SECTIONS: { name: string; title: string; scope: Scope; isElsewhere?: true }[] = [
  { name: "", title: "Overview", scope: "read" },
  { name: "batches", title: "Batches", scope: "read" },
  { name: "schedules", title: "Schedules", scope: "read" },
  { name: "webhooks", title: "Webhooks", scope: "read" },
  { name: "files", title: "Files", scope: "read" },
  { name: "models", title: "Models", scope: "read" },
  { name: "alerts", title: "Alerts", scope: "read" },
  { name: "keys", title: "Keys", scope: "admin" },
  { name: "audit", title: "Audit", scope: "admin" },
  { name: "new", title: "New run", scope: "write", isElsewhere: true },
  { name: "compare", title: "Compare two batches", scope: "read", isElsewhere: true },
  { name: "tasks", title: "Tasks", scope: "read", isElsewhere: true },
];

type Props = { needs: Scope; what: string; children: ComponentChildren };

/** Content for keys with a scope. For others it names the missing scope, because links can be shared. */
export function Scoped({ needs, what, children }: Props) {
  // Content for all keys need not wait until the scopes are known.
  if (needs === "read" || may(needs)) return <>{children}</>;
  if (scopes.value.length === 0) return <Loading />;
  return (
    <section class="card narrow" aria-labelledby="not-allowed">
      <header>
        <h2 id="not-allowed">{what}</h2>
      </header>
      <div class="panel">
        <Empty>
          This needs an API key with the scope <strong>{needs}</strong>. Yours has{" "}
          <strong>{scopes.value.join(", ")}</strong>. Log out and in with another key, or ask
          somebody who has one.
        </Empty>
      </div>
    </section>
  );
}
