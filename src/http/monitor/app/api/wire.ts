// The types of the API's answers, from the schemas of its OpenAPI document. Only types: the page contains no code of
// the server.

import type { z } from "@hono/zod-openapi";

import type { AlertEntry } from "../../../api/alerts.ts";
import type { KeyBody, KeyWithSecret } from "../../../api/api-keys.ts";
import type { EntryBody } from "../../../api/audit.ts";
import type { BatchBody, BatchListItem } from "../../../api/batch-body.ts";
import type { BatchEstimate } from "../../../api/batch-estimate.ts";
import type { BatchPreview } from "../../../api/batch-preview.ts";
import type { BatchRows as BatchRowsSchema } from "../../../api/batch-rows.ts";
import type { ExecutionBody } from "../../../api/executions.ts";
import type { FileBody } from "../../../api/files.ts";
import type { LiveState } from "../../../api/live.ts";
import type { FailureGroups, TaskMetricsBody } from "../../../api/metrics.ts";
import type { ModelBody, PriceList } from "../../../api/models.ts";
import type { RunBody, ScheduleBody, SchedulePreview } from "../../../api/schedule-body.ts";
import type { ServiceStatus, SystemStatus } from "../../../api/status.ts";
import type { TaskBody } from "../../../api/task-body.ts";
import type { DeliveryBody } from "../../../api/webhook-deliveries.ts";
import type { WebhookBody, WebhookWithSecret } from "../../../api/webhooks.ts";

export type Live = z.infer<typeof LiveState>;
export type LiveBatch = Live["batches"][string];
export type LiveProvider = Live["providers"][string];
export type Batch = z.infer<typeof BatchBody>;
export type BatchSummary = z.infer<typeof BatchListItem>;
export type BatchRows = z.infer<typeof BatchRowsSchema>;
export type BatchRow = BatchRows["rows"][number];
export type Preview = z.infer<typeof BatchPreview>;
export type Status = z.infer<typeof SystemStatus>;
export type Service = z.infer<typeof ServiceStatus>;
export type Metrics = z.infer<typeof TaskMetricsBody>;
export type Failures = { failures: z.infer<typeof FailureGroups> };
export type Task = z.infer<typeof TaskBody>;
export type Executions = { executions: z.infer<typeof ExecutionBody>[] };
export type Estimate = z.infer<typeof BatchEstimate>;
export type Schedule = z.infer<typeof ScheduleBody>;
export type TimesPreview = z.infer<typeof SchedulePreview>;
export type Run = z.infer<typeof RunBody>;
export type Webhook = z.infer<typeof WebhookBody>;
export type NewWebhook = z.infer<typeof WebhookWithSecret>;
export type Delivery = z.infer<typeof DeliveryBody>;
export type Key = z.infer<typeof KeyBody>;
export type NewKey = z.infer<typeof KeyWithSecret>;
export type StoredFile = z.infer<typeof FileBody>;
export type Model = z.infer<typeof ModelBody>;
export type Models = { models: Model[]; priceList: z.infer<typeof PriceList> };
export type Alert = z.infer<typeof AlertEntry>;
export type AuditEntry = z.infer<typeof EntryBody>;
export type Page<K extends string, T> = Record<K, T[]> & {
  pagination: { total: number; totalPages: number; nextCursor: string | null };
};
