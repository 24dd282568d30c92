import { useEffect } from "preact/hooks";

import { ApiError, get, key, scopes } from "../api/client.ts";
import type { Status } from "../api/wire.ts";
import { connection } from "../live/state.ts";
import { Overview } from "../overview/overview.tsx";
import { lazily } from "../ui/lazily.tsx";
import { Toast } from "../ui/toast.tsx";
import { useArrival } from "./arrival.ts";
import { Banner } from "./banner.tsx";
import { Header } from "./header.tsx";
import { Login } from "./login.tsx";
import { href, route } from "./router.ts";
import { Scoped, SECTIONS } from "./sections.tsx";
import { status } from "./status.ts";

const PAGES = {
  batches: lazily(async () => (await import("../batches/page.tsx")).Batches),
  compare: lazily(async () => (await import("../batches/compare.tsx")).Compare),
  schedules: lazily(async () => (await import("../schedules/page.tsx")).Schedules),
  webhooks: lazily(async () => (await import("../webhooks/page.tsx")).Webhooks),
  files: lazily(async () => (await import("../files/page.tsx")).Files),
  models: lazily(async () => (await import("../models/page.tsx")).Models),
  keys: lazily(async () => (await import("../keys/page.tsx")).Keys),
  alerts: lazily(async () => (await import("../alerts/page.tsx")).Alerts),
  audit: lazily(async () => (await import("../audit/page.tsx")).Audit),
  tasks: lazily(async () => (await import("../tasks/page.tsx")).Tasks),
  new: lazily(async () => (await import("../workbench/workbench.tsx")).Workbench),
};

const AGAIN_MS = 1000;

export function App() {
  if (key.value === undefined) return <Login />;
  return <Session key={key.value} />;
}

/** The page while a user is logged in. */
function Session() {
  const isDown = connection.value === "down";
  // Read again when the connection is back: the server may have another version by then.
  useEffect(() => (isDown ? undefined : readStatus()), [isDown]);
  return (
    <div class="shell">
      <Header />
      <Banner />
      <main id="main" tabindex={-1}>
        <Page />
      </main>
      <Toast />
    </div>
  );
}

/** Reads the status until there is an answer, because what the key may do is unknown before, or until it is stopped. */
function readStatus(): () => void {
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  async function read(): Promise<void> {
    try {
      const answer = await get<Status>("/status", abort.signal);
      // The session may have ended in the meantime, and another one begun.
      if (abort.signal.aborted) return;
      scopes.value = answer.caller.scopes as typeof scopes.value;
      status.value = answer;
    } catch (error) {
      if (abort.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      timer = setTimeout(read, AGAIN_MS);
    }
  }
  void read();
  return () => {
    abort.abort();
    clearTimeout(timer);
  };
}

function Page() {
  const { parts } = route.value;
  const [name, ...rest] = parts;
  useArrival(parts);
  if (name === undefined) return <Overview />;
  // Addresses of earlier versions.
  if (name === "batch" || name === "task") {
    location.replace(href([name === "batch" ? "batches" : "tasks", ...rest]));
    return null;
  }
  const Found = isPage(name) ? PAGES[name] : undefined;
  if (!Found)
    return (
      <p class="empty">
        This page does not exist. <a href="#/">Go to the overview</a>
      </p>
    );
  const section = SECTIONS.find((one) => one.name === name);
  return (
    <Scoped key={name} needs={section?.scope ?? "read"} what={section?.title ?? "This"}>
      <Found />
    </Scoped>
  );
}

function isPage(name: string): name is keyof typeof PAGES {
  return Object.hasOwn(PAGES, name);
}
