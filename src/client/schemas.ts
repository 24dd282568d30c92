// Made by .ci/client-types of the OpenAPI document; do not change it by hand.

export interface components {
    schemas: {
        Attachment: {
            /** @description The name of the column, as templates write it; for inline tasks, the name of a value in `metadata` */
            column: string;
            /** @enum {string} */
            type: "image" | "file";
        };
        Batch: components["schemas"]["BatchSummary"] & {
            waiting: components["schemas"]["Waiting"] | null;
            /**
             * Format: date-time
             * @description At the rate so far; null before there is anything to estimate from
             * @example 2025-01-01T00:00:00.000Z
             */
            estimatedCompletionAt: string | null;
            tasks: components["schemas"]["TaskInBatch"][];
            pagination: components["schemas"]["Pagination"];
        };
        /** @description How far the rows are that come from `inputBatch`, or from the file of a batch that was made through `/v1`; null of others */
        BatchChain: {
            /**
             * @description `waiting`: the other batch has not ended, and there are no tasks yet; `checking`: its file is read first, as of batches that are made through `/v1`; `made`: they are there; `failed`: they cannot be made
             * @enum {string}
             */
            status: "waiting" | "checking" | "made" | "failed";
            /** @description It was executed while it waits, and starts when it has its tasks */
            isToStart: boolean;
            error: components["schemas"]["ChainError"] | null;
        };
        BatchConfig: {
            model?: string;
            temperature?: number;
            maxTokens?: number;
            maxConcurrency?: number;
            maxCostUsd?: number;
            maxRetries?: number;
            timeoutMs?: number;
            systemPrompt?: string;
            promptTemplate?: string;
            parameters?: {
                [key: string]: unknown;
            };
            /**
             * @description Sent as `service_tier`. `flex` costs half where a provider has it and waits for room; a call may take 15 minutes. What the answer says that it was served at is what is charged
             * @enum {string}
             */
            serviceTier?: "auto" | "default" | "flex" | "priority";
            /** @description With `flex`: after this many minutes without room the request is sent at the standard tier, which the execution lists in `adjusted`. Unless set: 1440 */
            flexDeadlineMinutes?: number;
            /** @description Take the answer to an identical request, stored or in progress, at no cost, if there is one, and keep this one's for others. Deleting the task that was answered ends that */
            cache?: boolean;
            /** @description Names (`["sentiment", "reason"]`, each a text) or a JSON Schema of the object that an answer is to be. It is sent as structured output, or as JSON mode or an instruction where the provider takes nothing better; the answer is always checked, repaired by up to `maxRepairs` further calls, and else fails as `SCHEMA_MISMATCH`. Results have a column for each property, nested ones as `a.b` */
            output?: string[] | components["schemas"]["JsonSchema"];
            /** @description With `output`: how many further calls may show the model its answer and what is wrong with it. They are charged like other calls. Unless set: 1 */
            maxRepairs?: number;
            /** @description A model that is called once more if the answer is empty, cut off or does not match `output`; what that comes to counts. The execution says so in `escalatedFrom` */
            escalateTo?: string;
            /** @description A condition on the variables of a row, such as `{{label}} == 'spam' and {{score}} >= 0.5`: `== != < <= > >= contains and or not`, brackets, texts in quotes, numbers. Beside a number a value is compared as a number, and one that is none is unequal to it and neither less nor greater; beside a text as a text. Rows for which it is false end as `cancelled` with the reason `skipped` when the batch is created: no call, no cost */
            onlyIf?: string;
            /** @description Columns with images or documents, which are added to the last message of the user. A cell holds the id of an upload (`file-…`), whose bytes are read when the call is made, an `https:` or `http:` URL, which the provider fetches, or a base64 `data:` URL; an empty one attaches nothing. Images are sent as parts `image_url`, documents as parts `file` */
            attachments?: components["schemas"]["Attachment"][];
            csv?: components["schemas"]["CsvOptions"];
            xlsx?: components["schemas"]["XlsxOptions"];
            /** @description In `outputFile`, neutralise cells that a spreadsheet would run as formulas */
            safeOutput?: boolean;
        };
        /**
         * @example {
         *       "id": "batch-001",
         *       "name": "Creative Writing Tasks",
         *       "tasks": [
         *         {
         *           "id": "task-001",
         *           "prompt": "Write a haiku about programming"
         *         }
         *       ],
         *       "config": {
         *         "model": "gpt-4",
         *         "temperature": 0.7,
         *         "maxConcurrency": 5
         *       }
         *     }
         */
        BatchCreation: {
            /** @example batch-001 */
            id?: string;
            name?: string;
            description?: string;
            tasks?: components["schemas"]["TaskInput"][];
            /** @description The id of an upload, a file in the files folder (a path relative to it, or an absolute one below it), or an `https://` URL, of which nothing is kept but the address without its query */
            inputFile?: string;
            /**
             * @description Another batch: its rows, with the columns of their answers (those of its `config.output`, or `result`), are variables here. `config.promptTemplate` makes the prompts; ids, prompts and models of that batch are not taken over. Rows without an answer end as `skipped`. If that batch has not ended, this one waits for it, without tasks, as `chain` says. What becomes of that batch later changes nothing here
             * @example batch-001
             */
            inputBatch?: string;
            /** @description Ids and idempotency keys of the rows hold only within this batch, so that the same file can be the input of many: the task of a row `a` is called `BATCH.a`, and results have the row's own id. Unless set, the ids of a file do so if one of them is that of another task; if false, such a file is refused */
            scopedIds?: boolean;
            outputFile?: string;
            /**
             * @description A batch whose answers are reused, without a call and at no cost, for rows whose request is identical, as `cache: true` compares them. What it has answered by now counts: whole answers of real runs, by the model that was asked for. A row whose answer is deleted before it runs is sent, and so is one that is executed again
             * @example batch-000
             */
            baseBatch?: string;
            metadata?: {
                [key: string]: unknown;
            };
            config?: components["schemas"]["BatchConfig"];
            idempotencyKey?: string;
        };
        BatchEstimate: {
            tasks: number;
            sampledTasks: number;
            /** @description How many different requests the tasks have: with `cache: true` that many are paid for. Null beyond 100,000 tasks */
            differentRequests: number | null;
            /** @description How many of the tasks reuse an answer of `baseBatch`; tokens, cost and duration are those of the others. Null without a `baseBatch` */
            reused: number | null;
            promptTokens: number;
            completionTokens: components["schemas"]["TokenRange"];
            costUsd: components["schemas"]["CostRange"] | null;
            unpricedModels: string[];
            durationSeconds: number;
            concurrency: number;
            secondsPerCall: number;
            measured: components["schemas"]["MeasuredRows"] | null;
        };
        BatchExecuteOptions: {
            isDryRun?: boolean;
            /** @description Run only this many rows, the first that have not run */
            limit?: number;
            /** @description Run only this many rows, chosen at random */
            sample?: number;
        };
        BatchExecutionStarted: {
            /** @description Null for a batch that waits for its rows, which has none before it starts */
            executionId: string | null;
            status: components["schemas"]["BatchStatus"];
            /** @description For a pilot: how many rows run */
            rows?: number;
        };
        /** @description How `inputFile` or `inputBatch` was read, and what it contains; null for inline tasks */
        BatchInput: {
            /** @enum {string} */
            format: "csv" | "jsonl" | "json" | "xlsx" | "parquet" | "batch";
            delimiter: string | null;
            encoding: string | null;
            /** @description As templates and JSON results name them: a column without a name is `column_3`, a second `city` is `city_2` */
            columns: string[];
            /** @description Of a workbook: the sheet that was read */
            sheet?: string;
            /** @description Of a workbook or Parquet: the columns that hold dates */
            dates?: string[];
            /** @description The name of the file says another format than its content, in which it was read */
            warning?: string;
            rows: number;
            /** @description Rows that are blank or hold only delimiters; they are not tasks */
            skipped: number;
            /**
             * @description Where an id of the file was that of another task already, or a schedule has made the batch: what the ids of all of its tasks have before the ids of their rows. Results have the rows' ids as they are
             * @example batch-001.
             */
            idPrefix?: string;
        };
        /** @description The state of writing `outputFile`; null before the batch ends */
        BatchOutput: {
            /** @enum {string} */
            status: "pending" | "writing" | "written" | "failed";
            error: string | null;
        };
        BatchPage: {
            batches: components["schemas"]["BatchSummary"][];
            pagination: components["schemas"]["Pagination"];
        };
        BatchPauseOptions: {
            /** @description End calls in flight */
            abort?: boolean;
        };
        /** @description total = completed + failed + cancelled + pending + running */
        BatchProgress: {
            total: number;
            completed: number;
            failed: number;
            cancelled: number;
            pending: number;
            running: number;
            /** @description Of the completed ones, those whose answers were cut off (`finishReason`) */
            truncated: number;
            /** @description Of the completed ones, those that reused the answer to an identical request */
            cached: number;
            /** @description Of the completed ones, those whose answers match `output` after a repair */
            repaired: number;
            /** @description Of the cancelled ones, those for which `onlyIf` is false; no call is made for them */
            skipped: number;
        };
        BatchRetryOptions: {
            /** @description Which tasks to run again; `failed` by default */
            statuses?: ("failed" | "cancelled")[];
        };
        /** @enum {string} */
        BatchStatus: "pending" | "running" | "paused" | "completed" | "failed" | "cancelled";
        BatchSummary: {
            id: string;
            name: string;
            description: string | null;
            status: components["schemas"]["BatchStatus"];
            progress: components["schemas"]["BatchProgress"];
            isDryRun: boolean;
            config: components["schemas"]["JsonObject"];
            metadata: components["schemas"]["JsonObject"] | null;
            inputFile: string | null;
            inputBatch: string | null;
            chain: components["schemas"]["BatchChain"] | null;
            input: components["schemas"]["BatchInput"] | null;
            /** @description The batch whose answers it reuses */
            baseBatch: string | null;
            /** @description Rows for which `baseBatch` had an answer when the batch was created; `progress.cached` counts those that took one */
            reused: number;
            outputFile: string | null;
            output: components["schemas"]["BatchOutput"] | null;
            pauseReason: components["schemas"]["PauseReason"] | null;
            executionId: string | null;
            usage: components["schemas"]["TokenSums"];
            /** @description Sum of the answers with a known price; null if none has one. For a dry run, what it would have cost */
            costUsd: number | null;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            createdAt: string;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            updatedAt: string;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            startedAt: string | null;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            completedAt: string | null;
        };
        BatchUpdate: {
            name?: string;
            description?: string | null;
            /** @description Applies from the next call on; null removes the limit */
            maxConcurrency?: number | null;
            /** @description What the batch may cost, including its tasks that are executed one by one; null removes the limit */
            maxCostUsd?: number | null;
        };
        /** @description Why the rows cannot be made; `details` has the first ten wrong rows, or other issues */
        ChainError: {
            code: string;
            message: string;
            details?: components["schemas"]["JsonObject"];
        };
        ContentPart: {
            type: string;
        } & {
            [key: string]: unknown;
        };
        /** @description In USD; null if the price of a task is unknown */
        CostRange: {
            min: number;
            max: number;
        };
        CreatedBatch: {
            id: string;
            status: components["schemas"]["BatchStatus"];
            /** @description 0 for a batch that waits for its `inputBatch` */
            taskCount: number;
            /** @description Rows for which `baseBatch` had an answer when the batch was created; `progress.cached` counts those that took one */
            reused?: number;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            createdAt: string;
        };
        /** @description How `inputFile` is to be read */
        CsvOptions: {
            /** @description What separates cells; detected (`,` `;` tab `|`) unless given */
            delimiter?: string;
            /** @description Such as `windows-1252` or `shift_jis` (WHATWG names); unless given, UTF-8, UTF-16 and Windows-1252 are detected. For JSON files, too. A byte order mark wins */
            encoding?: string;
            /** @description Whether the first row names the columns, else `column_1`, …; true unless given */
            header?: boolean;
            /** @description The row that names the columns, from 1, where titles or notes stand above it; those are left out. The first that is not blank unless given */
            headerRow?: number;
        };
        DefaultProvider: {
            name: string;
            /** @description No provider is configured: the built-in simulator answers, at no cost */
            isSimulator: boolean;
            defaultModel: string;
        };
        ExecutionStarted: {
            executionId: string;
            /** @enum {string} */
            status: "running";
        };
        /**
         * @description `degraded`: it works, but something needs attention; `unhealthy`: it does not work. `reasons` say why
         * @enum {string}
         */
        Health: "healthy" | "degraded" | "unhealthy";
        JsonObject: {
            [key: string]: unknown;
        };
        /** @description A JSON Schema of an object */
        JsonSchema: {
            [key: string]: unknown;
        };
        KnownModels: {
            models: components["schemas"]["Model"][];
            priceList: components["schemas"]["PriceList"];
        };
        /** @description What the rows that have run took, such as those of a pilot; null where none has, or in a dry run. Cost is null where a price is not known */
        MeasuredRows: {
            rows: number;
            promptTokensPerRow: number;
            completionTokensPerRow: number;
            costUsdPerRow: number | null;
            /** @description What the rest will cost at that rate */
            costUsd: number | null;
        };
        Message: {
            /** @enum {string} */
            role: "system" | "developer" | "user" | "assistant" | "tool" | "function";
            content?: string | components["schemas"]["ContentPart"][] | null;
            name?: string;
            tool_calls?: {
                [key: string]: unknown;
            }[];
            tool_call_id?: string;
            function_call?: {
                [key: string]: unknown;
            };
            refusal?: string | null;
            audio?: {
                [key: string]: unknown;
            } | null;
        } & {
            [key: string]: unknown;
        };
        Model: {
            id: string;
            provider: string;
            /** @description The provider itself lists it */
            isListed: boolean;
            /** @description Tokens */
            contextSize: number | null;
            price: components["schemas"]["ModelPrice"] | null;
        };
        ModelPrice: {
            /** @description USD per million tokens */
            input: number;
            /** @description USD per million tokens */
            cachedInput?: number;
            /** @description USD per million tokens */
            cacheWrite?: number;
            /** @description USD per million tokens */
            output: number;
            /** @description USD per million tokens */
            reasoning?: number;
            /** @description For the whole request if its prompt has more tokens */
            steps?: components["schemas"]["ModelPriceStep"][];
            /** @description Prices of other service tiers, as a share of this one */
            tiers?: {
                [key: string]: number;
            };
            /** @description `configuration`, or the source of the list */
            source: string;
            /**
             * @description Day of the list
             * @example 2026-09-23
             */
            date: string | null;
        };
        ModelPriceStep: {
            above: number;
            /** @description USD per million tokens */
            input: number;
            /** @description USD per million tokens */
            cachedInput?: number;
            /** @description USD per million tokens */
            cacheWrite?: number;
            /** @description USD per million tokens */
            output: number;
            /** @description USD per million tokens */
            reasoning?: number;
        };
        /**
         * @description What a fire does while the run before has not ended: `skip` it, `queue` it, `allow` both, or `cancel_previous`
         * @enum {string}
         */
        OverlapPolicy: "skip" | "queue" | "allow" | "cancel_previous";
        Pagination: {
            page: number;
            limit: number;
            total: number;
            totalPages: number;
            nextCursor: string | null;
        };
        /** @description With `output`: the JSON object of the answer */
        ParsedAnswer: {
            [key: string]: unknown;
        };
        /** @description Why the batch is paused; `requested` is by a client */
        PauseReason: {
            code: string;
            message: string;
        };
        /** @description The built-in list of prices. One older than 90 days is among the reasons of the status */
        PriceList: {
            source: string;
            date: string;
        };
        /** @enum {string} */
        Priority: "urgent" | "high" | "normal" | "low";
        ScheduledTask: {
            id: string;
            name: string;
            description: string | null;
            schedule: string;
            timezone: string;
            isActive: boolean;
            /** @description Why the server paused it; null otherwise */
            pauseReason: string | null;
            inputFile: string;
            outputFile: string | null;
            isDryRun: boolean;
            config: components["schemas"]["JsonObject"];
            overlapPolicy: components["schemas"]["OverlapPolicy"];
            catchUpWindowSeconds: number;
            pauseAfterFailures: number | null;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            createdAt: string;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            updatedAt: string;
            /**
             * Format: date-time
             * @description Scheduled time of the latest run that began
             * @example 2025-01-01T00:00:00.000Z
             */
            lastRun: string | null;
            lastRunStatus: components["schemas"]["ScheduledTaskRunStatus"] | null;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            nextRun: string | null;
            /** @description The next five times */
            nextRuns: string[];
        };
        /**
         * @example {
         *       "name": "Daily Report Generator",
         *       "schedule": "0 9 * * *",
         *       "inputFile": "tasks.csv",
         *       "outputFile": "results-{{date}}.csv",
         *       "isDryRun": false,
         *       "config": {
         *         "model": "gpt-4",
         *         "temperature": 0.7,
         *         "maxRetries": 3
         *       }
         *     }
         */
        ScheduledTaskCreation: {
            name: string;
            description?: string | null;
            /**
             * @description Cron: five fields (minute, hour, day of month, month, day of week), or six with seconds first; names, ranges, steps, lists, `L`, `#`, or a nickname such as `@daily`. Where the clock is put forward, a fixed time that is skipped fires at the first moment after the gap; where it is put back, a fixed time that comes twice fires once, at the first. `*` and steps go by elapsed time
             * @example 0 9 * * *
             */
            schedule: string;
            /**
             * @description IANA time zone that the schedule is read in
             * @example Europe/Berlin
             */
            timezone?: string;
            /** @description A file in the files folder; it need not be there yet */
            inputFile: string;
            /**
             * @description Where each run's results go, in the files folder. `{{date}}`, `{{time}}` (of the scheduled time, in the time zone; the second `02-30-00` of an autumn night is `02-30-00b`, and a run on request that may overlap has milliseconds: `02-30-00-123`) and `{{runId}}` may be in its name; without, each run replaces the file of the one before, which `overlapPolicy` `allow` does not permit
             * @example results-{{date}}.csv
             */
            outputFile?: string | null;
            /** @description Let the simulator answer; costs are then estimates */
            isDryRun?: boolean;
            isActive?: boolean;
            config?: components["schemas"]["BatchConfig"];
            overlapPolicy?: components["schemas"]["OverlapPolicy"];
            /** @description Of the missed fires, the latest runs if it is not older than this; the others are recorded as missed */
            catchUpWindowSeconds?: number;
            /** @description Failed runs in a row that stop the schedule, with a `system.alert` */
            pauseAfterFailures?: number | null;
        };
        ScheduledTaskPage: {
            tasks: components["schemas"]["ScheduledTask"][];
            pagination: components["schemas"]["Pagination"];
        };
        ScheduledTaskRun: {
            id: string;
            status: components["schemas"]["ScheduledTaskRunStatus"];
            /**
             * @description `catch_up`: it makes up for missed fires; `manual`: a client requested it
             * @enum {string}
             */
            cause: "schedule" | "catch_up" | "manual";
            /** @description Why it was skipped, missed, cancelled or failed */
            reason: string | null;
            error: components["schemas"]["ScheduledTaskRunError"] | null;
            isDryRun: boolean;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            scheduledAt: string;
            /**
             * Format: date-time
             * @description When the server detected that the fire was due
             * @example 2025-01-01T00:00:00.000Z
             */
            firedAt: string;
            /**
             * Format: date-time
             * @description When its batch was started
             * @example 2025-01-01T00:00:00.000Z
             */
            startedAt: string | null;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            finishedAt: string | null;
            batchId: string | null;
            outputFile: string | null;
            counts: components["schemas"]["ScheduledTaskRunCounts"];
            usage: components["schemas"]["TokenSums"];
            /** @description Its cost; null if it did not begin, 0 for a dry run */
            costUsd: number | null;
            /** @description For a dry run: what it would have cost */
            estimatedCostUsd: number | null;
        };
        ScheduledTaskRunCounts: {
            total: number;
            completed: number;
            failed: number;
            cancelled: number;
        };
        /** @description The error of a failed run; wrong rows are in its `details` */
        ScheduledTaskRunError: {
            code: string;
            message: string;
            details?: components["schemas"]["JsonObject"];
        };
        ScheduledTaskRunOptions: {
            /** @description For this run; by default, the setting of the scheduled task */
            isDryRun?: boolean;
        };
        /** @enum {string} */
        ScheduledTaskRunStatus: "pending" | "queued" | "running" | "completed" | "failed" | "cancelled" | "skipped" | "missed";
        /**
         * @example {
         *       "name": "Updated Task Name",
         *       "schedule": "0 12 * * *",
         *       "isActive": false
         *     }
         */
        ScheduledTaskUpdate: {
            name?: string;
            description?: string | null;
            /**
             * @description Cron: five fields (minute, hour, day of month, month, day of week), or six with seconds first; names, ranges, steps, lists, `L`, `#`, or a nickname such as `@daily`. Where the clock is put forward, a fixed time that is skipped fires at the first moment after the gap; where it is put back, a fixed time that comes twice fires once, at the first. `*` and steps go by elapsed time
             * @example 0 9 * * *
             */
            schedule?: string;
            /**
             * @description IANA time zone that the schedule is read in
             * @example Europe/Berlin
             */
            timezone?: string;
            /** @description A file in the files folder; it need not be there yet */
            inputFile?: string;
            /**
             * @description Where each run's results go, in the files folder. `{{date}}`, `{{time}}` (of the scheduled time, in the time zone; the second `02-30-00` of an autumn night is `02-30-00b`, and a run on request that may overlap has milliseconds: `02-30-00-123`) and `{{runId}}` may be in its name; without, each run replaces the file of the one before, which `overlapPolicy` `allow` does not permit
             * @example results-{{date}}.csv
             */
            outputFile?: string | null;
            /** @description Let the simulator answer; costs are then estimates */
            isDryRun?: boolean;
            isActive?: boolean;
            config?: components["schemas"]["BatchConfig"];
            overlapPolicy?: components["schemas"]["OverlapPolicy"];
            /** @description Of the missed fires, the latest runs if it is not older than this; the others are recorded as missed */
            catchUpWindowSeconds?: number;
            /** @description Failed runs in a row that stop the schedule, with a `system.alert` */
            pauseAfterFailures?: number | null;
        };
        /** @enum {string} */
        ServiceTier: "auto" | "default" | "flex" | "priority";
        ServicesHealth: {
            database: components["schemas"]["Health"];
            openai: components["schemas"]["Health"];
            scheduler: components["schemas"]["Health"];
            workers: components["schemas"]["Health"];
            webhooks: components["schemas"]["Health"];
        };
        /** @description The API key of this request, and its scopes */
        StatusCaller: {
            keyId: string;
            scopes: string[];
        };
        StatusReason: {
            service: string;
            reason: string;
        };
        StoredFile: {
            id: string;
            name: string;
            bytes: number;
            /** @description Of the bytes, hexadecimal */
            sha256: string;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            createdAt: string;
        };
        /** @description `status` is `unhealthy` where the database or the workers are, `degraded` where any other service ails, an alert is open or the files cannot be reached */
        SystemStatus: {
            status: components["schemas"]["Health"];
            version: string;
            /** @description Seconds since this process started */
            uptime: number;
            services: components["schemas"]["ServicesHealth"];
            reasons: components["schemas"]["StatusReason"][];
            provider: components["schemas"]["DefaultProvider"];
            prices: components["schemas"]["PriceList"];
            caller: components["schemas"]["StatusCaller"];
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            lastHealthCheck: string;
        };
        Task: {
            /** @example task-001 */
            id: string;
            status: components["schemas"]["TaskStatus"];
            model: string;
            batchId: string | null;
            priority: components["schemas"]["Priority"];
            attempts: number;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            createdAt: string;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            updatedAt: string;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            startedAt: string | null;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            completedAt: string | null;
            prompt: string | null;
            messages: components["schemas"]["JsonObject"][] | null;
            provider: string | null;
            temperature: number | null;
            maxTokens: number | null;
            parameters: components["schemas"]["JsonObject"];
            metadata: components["schemas"]["JsonObject"] | null;
            maxRetries: number | null;
            timeoutMs: number | null;
            serviceTier: components["schemas"]["ServiceTier"] | null;
            /** @description With `flex`: how long it waits for capacity before it takes the standard tier */
            flexDeadlineMinutes: number | null;
            /** @description Answers to identical requests are reused */
            cache: boolean;
            /** @description The JSON Schema that the answer must match, also if `output` was given as names */
            output: components["schemas"]["JsonObject"] | null;
            maxRepairs: number | null;
            escalateTo: string | null;
            /** @description The latest execution */
            executionId: string | null;
            result: components["schemas"]["TaskResult"] | null;
            error: components["schemas"]["TaskError"] | null;
            /**
             * @description `skipped`: it was cancelled because `onlyIf` of its batch is false for its row
             * @enum {string|null}
             */
            reason: "skipped" | null;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            queuedAt: string | null;
        };
        /**
         * @example {
         *       "id": "task-001",
         *       "prompt": "Write a haiku about programming",
         *       "model": "gpt-4",
         *       "temperature": 0.7,
         *       "maxTokens": 1000,
         *       "metadata": {
         *         "category": "creative"
         *       }
         *     }
         */
        TaskCreation: {
            /** @example task-001 */
            id?: string;
            prompt?: string;
            messages?: components["schemas"]["Message"][];
            model?: string;
            temperature?: number;
            maxTokens?: number;
            parameters?: {
                [key: string]: unknown;
            };
            metadata?: {
                [key: string]: unknown;
            };
            /** @enum {string} */
            priority?: "urgent" | "high" | "normal" | "low";
            maxRetries?: number;
            timeoutMs?: number;
            /**
             * @description Sent as `service_tier`. `flex` costs half where a provider has it and waits for room; a call may take 15 minutes. What the answer says that it was served at is what is charged
             * @enum {string}
             */
            serviceTier?: "auto" | "default" | "flex" | "priority";
            /** @description With `flex`: after this many minutes without room the request is sent at the standard tier, which the execution lists in `adjusted`. Unless set: 1440 */
            flexDeadlineMinutes?: number;
            /** @description Take the answer to an identical request, stored or in progress, at no cost, if there is one, and keep this one's for others. Deleting the task that was answered ends that */
            cache?: boolean;
            /** @description Names (`["sentiment", "reason"]`, each a text) or a JSON Schema of the object that an answer is to be. It is sent as structured output, or as JSON mode or an instruction where the provider takes nothing better; the answer is always checked, repaired by up to `maxRepairs` further calls, and else fails as `SCHEMA_MISMATCH`. Results have a column for each property, nested ones as `a.b` */
            output?: string[] | components["schemas"]["JsonSchema"];
            /** @description With `output`: how many further calls may show the model its answer and what is wrong with it. They are charged like other calls. Unless set: 1 */
            maxRepairs?: number;
            /** @description A model that is called once more if the answer is empty, cut off or does not match `output`; what that comes to counts. The execution says so in `escalatedFrom` */
            escalateTo?: string;
            batchId?: string;
            idempotencyKey?: string;
        };
        TaskError: {
            /** @example PROVIDER_RATE_LIMITED */
            code: string;
            message: string;
            providerStatus: number | null;
            retryable: boolean;
        };
        TaskInBatch: {
            id: string;
            status: components["schemas"]["TaskStatus"];
            /** @description The answer's text */
            result: string | null;
            /**
             * @description `skipped`: it was cancelled because `onlyIf` of its batch is false for its row
             * @enum {string|null}
             */
            reason: "skipped" | null;
            error: components["schemas"]["TaskError"] | null;
            executionId: string | null;
        };
        TaskInput: {
            id?: string;
            prompt?: string;
            messages?: components["schemas"]["Message"][];
            model?: string;
            temperature?: number;
            maxTokens?: number;
            parameters?: {
                [key: string]: unknown;
            };
            metadata?: {
                [key: string]: unknown;
            };
            /** @enum {string} */
            priority?: "urgent" | "high" | "normal" | "low";
            maxRetries?: number;
            timeoutMs?: number;
            /**
             * @description Sent as `service_tier`. `flex` costs half where a provider has it and waits for room; a call may take 15 minutes. What the answer says that it was served at is what is charged
             * @enum {string}
             */
            serviceTier?: "auto" | "default" | "flex" | "priority";
            /** @description With `flex`: after this many minutes without room the request is sent at the standard tier, which the execution lists in `adjusted`. Unless set: 1440 */
            flexDeadlineMinutes?: number;
            /** @description Take the answer to an identical request, stored or in progress, at no cost, if there is one, and keep this one's for others. Deleting the task that was answered ends that */
            cache?: boolean;
            idempotencyKey?: string;
        };
        TaskResult: {
            content: string | null;
            parsed?: components["schemas"]["ParsedAnswer"];
            /** @description The model's reasoning, if the provider returns it */
            reasoning?: string;
            /** @description OpenAI's word for it if there is one; with `length` and `content_filter` the answer was cut off */
            finishReason: string | null;
            model: string | null;
            usage: components["schemas"]["TokenUsage"] | null;
            /** @description Null if the price of any of its calls is unknown */
            costUsd: number | null;
            /** @description The answer to an identical request was reused: `usage` is that of the original call, and costs nothing again */
            cached: boolean;
            toolCalls?: components["schemas"]["ToolCall"][];
            /**
             * @description The simulator answered
             * @enum {boolean}
             */
            isDryRun?: true;
            raw?: components["schemas"]["JsonObject"];
        };
        /** @enum {string} */
        TaskStatus: "pending" | "running" | "completed" | "failed" | "cancelled";
        TokenRange: {
            min: number;
            max: number;
        };
        TokenSums: {
            promptTokens: number;
            completionTokens: number;
            totalTokens: number;
        };
        /** @description Of all calls of the execution, like `costUsd`: failed attempts and repairs count */
        TokenUsage: {
            promptTokens: number;
            completionTokens: number;
            totalTokens: number;
            cachedTokens?: number;
            reasoningTokens?: number;
            cacheWriteTokens?: number;
            /**
             * @description The provider reported no usage; the server counted the tokens of the texts
             * @enum {boolean}
             */
            estimated?: true;
        };
        /** @description As the provider reports it */
        ToolCall: {
            [key: string]: unknown;
        };
        /** @description Why tasks that could run do not: `rate_limit` (the provider's limits; `until` is when the next may start), the code of the pause, `input_batch` (the batch that gives the rows has not ended), or `input_file` (it is being checked) */
        Waiting: {
            reason: string;
            /**
             * Format: date-time
             * @example 2025-01-01T00:00:00.000Z
             */
            until: string | null;
        };
        /** @description How an `inputFile` that is a workbook is to be read */
        XlsxOptions: {
            /** @description The name of the sheet, or its position from 1; the first visible one unless given */
            sheet?: string | number;
            /**
             * @description `plain`, unless given: numbers as they are stored, dates in ISO 8601. `formatted`: the texts that the spreadsheet shows, such as `25%`
             * @enum {string}
             */
            values?: "plain" | "formatted";
            /** @description Whether the first row names the columns, else `column_1`, …; true unless given */
            header?: boolean;
            /** @description The row that names the columns, from 1, where titles or notes stand above it; those are left out. The first that is not blank unless given */
            headerRow?: number;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
