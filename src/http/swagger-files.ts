import { createRequire } from "node:module";
import { dirname } from "node:path";

/** Where the package manager has put the files of Swagger UI. */
export const SWAGGER_FOLDER = dirname(
  createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"),
);
