import { useEffect, useState } from "preact/hooks";

import { ended, get, key, logIn, logOut, pageAddress } from "../api/client.ts";
import { TextField } from "../ui/field.tsx";
import { go, route } from "./router.ts";

export function Login() {
  const [text, setText] = useState("");
  const [error, setError] = useState("");
  const [token] = useState(() => takeToken());
  useEffect(() => {
    if (token) redeem(token).catch(() => setError("The server cannot be reached"));
  }, []);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setError("");
    logIn(text.trim());
    try {
      await get("/status");
    } catch (problem) {
      logOut(problem instanceof Error ? problem.message : String(problem));
    }
  }

  async function redeem(given: string): Promise<void> {
    const response = await fetch(new URL("monitor/login", pageAddress()), {
      method: "POST",
      headers: { authorization: `Bearer ${given}` },
    });
    const answer = (await response.json()) as { key?: string; error?: { message: string } };
    if (answer.key) logIn(answer.key);
    else setError(`${answer.error?.message ?? "The link does not work"}. Log in with the key.`);
  }

  const message = error || ended.value;
  return (
    <main class="login">
      <form class="card stack" onSubmit={submit}>
        <h1>GPT Task Runner</h1>
        <TextField
          label="API key"
          type="password"
          value={text}
          onInput={setText}
          isRequired
          hint="The first start printed one, with a link that logs in. It stays in this tab only."
        />
        {message && (
          <p class="error" role="alert">
            {message}
          </p>
        )}
        <button class="primary">Open the page</button>
        <p class="hint">
          <a href="docs">API documentation</a>
        </p>
      </form>
    </main>
  );
}

/** The token of a login link, which leaves the address at once. */
function takeToken(): string | undefined {
  const [kind, token] = route.value.parts;
  if (kind !== "login") return undefined;
  history.replaceState(null, "", location.pathname);
  if (key.value === undefined) return token;
  go("#/");
  return undefined;
}
