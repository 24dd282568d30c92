// Extends zod as the server does before it makes its first schema. Without this, a file that loads routes would fail if
// another file of the same process has loaded a schema of `src/domain` first.
import "@hono/zod-openapi";
