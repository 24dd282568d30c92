import { createRequire } from "node:module";
import { dirname } from "node:path";

/** The folder where the package manager has installed Swagger UI. */
export const SWAGGER_FOLDER = dirname(
  createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"),
);
