import { signal } from "@preact/signals";

import type { Status } from "../api/wire.ts";

/** The facts that do not change while the server runs: version, default model, prices. */
export const status = signal<Status | undefined>(undefined);
