import type { OpenAPIHono } from "@hono/zod-openapi";
import { html } from "hono/html";

import packageJson from "../../../package.json" with { type: "json" };
import type { AppEnv } from "../router.ts";
import { pagePolicy } from "../secure-headers.ts";

/** `/`: what this server is and where to go from here. */
export function addMonitor(app: OpenAPIHono<AppEnv>): void {
  app.get("/", (c) => {
    const { provider, defaultModel, maxConcurrency } = c.var.ctx.config;
    c.header("Content-Security-Policy", pagePolicy(""));
    return c.html(
      html`<!doctype html>
        <html lang="en">
          <head>
            <meta charset="utf-8" />
            <meta name="viewport" content="width=device-width, initial-scale=1" />
            <title>GPT Task Runner</title>
            <style>
              :root {
                color-scheme: light dark;
              }
              body {
                font:
                  16px/1.5 system-ui,
                  sans-serif;
                max-width: 36rem;
                margin: 15vh auto 0;
                padding: 0 1rem;
              }
              dl {
                display: grid;
                grid-template-columns: max-content 1fr;
                gap: 0.25rem 1.5rem;
              }
              dd {
                margin: 0;
              }
            </style>
          </head>
          <body>
            <h1>GPT Task Runner ${packageJson.version}</h1>
            <p>It runs. Requests go to <code>/api/v1</code> with your API key.</p>
            <dl>
              <dt>API documentation</dt>
              <dd><a href="/docs">/docs</a></dd>
              <dt>OpenAPI document</dt>
              <dd><a href="/openapi.json">/openapi.json</a></dd>
              <dt>Ready for work?</dt>
              <dd><a href="/readyz">/readyz</a></dd>
              <dt>Provider</dt>
              <dd>
                ${provider.kind === "simulator" ? "the built-in simulator" : provider.name},
                ${defaultModel} unless a task names another model
              </dd>
              <dt>Calls at once</dt>
              <dd>${maxConcurrency} at most</dd>
            </dl>
          </body>
        </html>`,
    );
  });
}
