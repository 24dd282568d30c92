import { logOut, may } from "../api/client.ts";
import { alerts, connection, health } from "../live/state.ts";
import { Badge } from "../ui/badge.tsx";
import { href, route } from "./router.ts";
import { SECTIONS } from "./sections.tsx";
import { status } from "./status.ts";

const WORDS = { opening: "Connecting…", live: "Live", down: "Offline" };

export function Header() {
  const [here = ""] = route.value.parts;
  const shown = SECTIONS.filter(
    ({ scope, isElsewhere }) => !isElsewhere && (scope === "read" || may(scope)),
  );
  return (
    <header class="bar">
      <a class="unseen skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <h1>
        <a href="#/">GPT Task Runner</a>
      </h1>
      <nav aria-label="Pages">
        {shown.map(({ name, title }) => (
          <a
            key={name}
            href={href(name === "" ? [] : [name])}
            aria-current={
              here === name || (here === "tasks" && name === "batches") ? "page" : undefined
            }
          >
            {title}
          </a>
        ))}
      </nav>
      <span class="spring" />
      <span class="state">
        {health.value && (
          <a
            href="#/alerts"
            class="quiet"
            title={`${Object.keys(alerts.value ?? {}).length} alerts are open`}
          >
            <Badge status={health.value.status} />
          </a>
        )}
        <span role="status" class={`quiet connection ${connection.value}`}>
          {WORDS[connection.value]}
        </span>
      </span>
      <span class="state">
        {may("write") && (
          <a class="button primary" href="#/new">
            New run
          </a>
        )}
        <a href="docs" title={status.value ? `Version ${status.value.version}` : undefined}>
          API
        </a>
        <button type="button" class="plain" onClick={() => logOut()}>
          Log out
        </button>
      </span>
    </header>
  );
}

function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}
