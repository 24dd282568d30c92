import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { swaggerUI } from "@hono/swagger-ui";
import type { OpenAPIHono } from "@hono/zod-openapi";

import { createDocument } from "./document.ts";
import type { AppEnv } from "./router.ts";
import { pagePolicy } from "./secure-headers.ts";
import { SWAGGER_FOLDER } from "./swagger-files.ts";

/** The files of Swagger UI that its page loads, by their names below `baseUrl`. */
const ASSETS = new Map(
  Object.entries({
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
  }),
);

/**
 * `/openapi.json`, generated from the routes, and `/docs`: Swagger UI with bundled assets, so that it works offline.
 */
export function addDocs(app: OpenAPIHono<AppEnv>): void {
  let document: ReturnType<typeof createDocument> | undefined;
  app.get("/openapi.json", (c) => c.json((document ??= createDocument(app))));
  app.get(
    "/docs",
    async (c, next) => {
      await next();
      const html = await c.res.clone().text();
      c.res.headers.set("Content-Security-Policy", pagePolicy(html));
    },
    swaggerUI({
      url: "openapi.json",
      baseUrl: "docs",
      title: "GPT Task Runner API",
      persistAuthorization: false,
    }),
  );
  app.get("/docs/swagger-ui-dist/:file", async (c) => {
    const file = c.req.param("file");
    const type = ASSETS.get(file);
    if (type === undefined) return c.notFound();
    return c.body(await readFile(join(SWAGGER_FOLDER, file)), 200, {
      "Content-Type": type,
      "Cache-Control": "public, max-age=86400",
    });
  });
}
