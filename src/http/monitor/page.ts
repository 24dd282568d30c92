import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import type { OpenAPIHono } from "@hono/zod-openapi";

import type { AppEnv } from "../router.ts";
import { pagePolicy } from "../secure-headers.ts";

/** What the page loads, all of it from here: no build, no other host. */
const ASSETS = [
  "style.css",
  "main.js",
  "api.js",
  "live.js",
  "dom.js",
  "format.js",
  "charts.js",
  "batches.js",
  "panels.js",
  "providers.js",
  "details.js",
  "timeline.js",
  "forms.js",
  "icon.svg",
] as const;
const UPLOT: Record<string, string> = { "uplot.js": "uPlot.esm.js", "uplot.css": "uPlot.min.css" };

const TYPES: Record<string, string> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

/** `/`: the live monitor. It is a client of the API like any other; only its files are served without a key. */
export function addMonitor(app: OpenAPIHono<AppEnv>): void {
  const own = join(dirname(fileURLToPath(import.meta.url)), "assets");
  const uplot = join(dirname(createRequire(import.meta.url).resolve("uplot/package.json")), "dist");
  const files = new Map<string, string>([
    ...ASSETS.map((name) => [name, join(own, name)] as const),
    ...Object.entries(UPLOT).map(([name, file]) => [name, join(uplot, file)] as const),
  ]);
  app.get("/", async (c) => {
    c.header("Content-Security-Policy", pagePolicy(""));
    return c.html(await readFile(join(own, "index.html"), "utf8"));
  });
  app.get("/monitor/:file", async (c) => {
    const path = files.get(c.req.param("file"));
    if (path === undefined) return c.notFound();
    return c.body(await readFile(path), 200, {
      "Content-Type": TYPES[path.slice(path.lastIndexOf(".") + 1)] ?? "application/octet-stream",
      // A new version must not meet half of the old one.
      "Cache-Control": "no-cache",
    });
  });
}
