import { Hono } from "hono";

import type { AppEnv } from "../router.ts";
import { openAiBatchRoutes } from "./batches.ts";
import { openAiFileRoutes } from "./files.ts";
import { openAiModelRoutes } from "./models.ts";
import { openAiWebhookRoutes } from "./webhooks.ts";

/**
 * OpenAI's own API, for programs that were written for it. It stands in no OpenAPI document of ours: OpenAI
 * publishes one, the SDKs are made of it, and bodies that a provider takes have no closed schema.
 */
export const openAiRoutes = new Hono<AppEnv>()
  .route("/", openAiFileRoutes)
  .route("/", openAiBatchRoutes)
  .route("/", openAiModelRoutes)
  .route("/", openAiWebhookRoutes);
