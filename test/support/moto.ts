import { freePort } from "./process.ts";
import { until } from "./server.ts";
import { moto } from "./tools.ts";

const SECRET = "s3-secret-of-the-tests";

/** Stands between a process and its bucket: answers instead of the server, or passes the request on. */
type Meddle = (
  request: Request,
) => Response | undefined | Promise<Response | undefined> | Promise<never>;

/** An S3 server with an empty bucket, behind a proxy whose behaviour tests can change (`state.meddle`). */
export async function startMoto() {
  const port = await freePort();
  const child = Bun.spawn([moto ?? "", "-H", "127.0.0.1", "-p", String(port)], {
    stdout: "ignore",
    stderr: "ignore",
  });
  const url = `http://127.0.0.1:${port}`;
  await until(
    () =>
      fetch(`${url}/bucket`, { method: "PUT" }).then(
        ({ ok }) => ok || undefined,
        () => undefined,
      ),
    60_000,
  );
  const state = { meddle: undefined as Meddle | undefined, requests: [] as string[] };
  const front = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 60,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      state.requests.push(`${request.method} ${pathname}${search}`);
      const instead = await state.meddle?.(request);
      if (instead) return instead;
      return fetch(`${url}${pathname}${search}`, {
        method: request.method,
        headers: request.headers,
        ...(request.method === "GET" || request.method === "HEAD"
          ? {}
          : { body: await request.arrayBuffer() }),
      });
    },
  });
  return {
    state,
    url: `http://127.0.0.1:${front.port}`,
    env: {
      FILES_URL: "s3://bucket/some/where",
      S3_ENDPOINT: `http://127.0.0.1:${front.port}`,
      S3_ACCESS_KEY_ID: "id-of-the-tests",
      S3_SECRET_ACCESS_KEY: SECRET,
    },
    /** The keys of all objects. */
    async keys(): Promise<string[]> {
      const text = await (await fetch(`${url}/bucket?list-type=2`)).text();
      return [...text.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => key ?? "");
    },
    /** The keys of multipart uploads that are not finished. */
    async unfinished(): Promise<string[]> {
      const text = await (await fetch(`${url}/bucket?uploads`)).text();
      return [...text.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => key ?? "");
    },
    put: (key: string, body: BodyInit) =>
      fetch(`${url}/bucket/${key}`, { method: "PUT", body }).then(({ ok }) => ok),
    get: (key: string) => fetch(`${url}/bucket/${key}`),
    async [Symbol.asyncDispose]() {
      await front.stop(true);
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** An error answer of S3. Its message contains a secret that must not be shown to anybody. */
export function refusal(status: number, code: string): Response {
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${SECRET}</Message></Error>`;
  return new Response(body, { status, headers: { "content-type": "application/xml" } });
}
