import { defineConfig } from "drizzle-kit";

// Migrations are generated from the schema with `bun run db:generate` and applied at start.
export default defineConfig({
  dialect: "turso",
  casing: "snake_case",
  schema: "./src/db/schema/*.ts",
  out: "./drizzle",
});
