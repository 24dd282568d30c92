import { Hono } from "hono";

import type { AppEnv } from "../router.ts";
import { openAiBatchRoutes } from "./batches.ts";
import { openAiFileRoutes } from "./files.ts";
import { openAiModelRoutes } from "./models.ts";
import { openAiWebhookRoutes } from "./webhooks.ts";

/**
 * OpenAI's own API, for programs that were written for it. It is not part of this server's OpenAPI document: OpenAI
 * publishes one, from which the SDKs are generated, and the bodies of providers have no closed schema.
 */
export const openAiRoutes = new Hono<AppEnv>()
  .route("/", openAiFileRoutes)
  .route("/", openAiBatchRoutes)
  .route("/", openAiModelRoutes)
  .route("/", openAiWebhookRoutes);
