import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { OpenAPIHono } from "@hono/zod-openapi";

import { AppError } from "../../errors.ts";
import { PROGRAM_ROOT } from "../../lib/program-root.ts";
import type { AppEnv } from "../router.ts";
import { pagePolicy } from "../secure-headers.ts";
import type { FirstLogin } from "./login.ts";

/** The folder of the page that `bun run build` writes. */
const BUILT = fileURLToPath(new URL("dist/page", PROGRAM_ROOT));

const TYPES: Record<string, string> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};
const FILE = /^[\w-]+\.(css|js|svg)$/;
const ENCODINGS = { br: ".br", gzip: ".gz" };

/** `/`: the page. It is a client of the API like any other; only its files are served without a key. */
export function addMonitor(app: OpenAPIHono<AppEnv>, login: FirstLogin): void {
  app.get("/", async (c) => {
    const html = await readBuilt("index.html");
    if (!html)
      throw new AppError("SERVICE_UNAVAILABLE", "The page is not built: run `bun run build`");
    const text = html.toString("utf8");
    c.header("Content-Security-Policy", pagePolicy(text));
    // Must be fresh, because the names of the other files change with each version.
    c.header("Cache-Control", "no-cache");
    return c.html(text);
  });
  app.post("/monitor/login", (c) => {
    const key = login.redeem(c.req.header("authorization") ?? "");
    if (key === undefined)
      throw new AppError("UNAUTHORIZED", "This login link was used already, or is too old");
    return c.json({ key });
  });
  app.get("/monitor/:file", async (c) => {
    const name = c.req.param("file");
    const [, extension = ""] = FILE.exec(name) ?? [];
    const accepted = c.req.header("accept-encoding") ?? "";
    const encoding = (["br", "gzip"] as const).find((one) => accepted.includes(one));
    const packed =
      extension && encoding ? await readBuilt(`${name}${ENCODINGS[encoding]}`) : undefined;
    const bytes = packed ?? (extension ? await readBuilt(name) : undefined);
    if (!bytes) return c.notFound();
    return c.body(new Uint8Array(bytes), 200, {
      "Content-Type": TYPES[extension] ?? "application/octet-stream",
      Vary: "Accept-Encoding",
      "Cache-Control":
        extension === "svg" ? "public, max-age=86400" : "public, max-age=31536000, immutable",
      ...(packed && encoding ? { "Content-Encoding": encoding } : {}),
    });
  });
}

async function readBuilt(name: string): Promise<Buffer | undefined> {
  try {
    return await readFile(join(BUILT, name));
  } catch {
    return undefined;
  }
}
