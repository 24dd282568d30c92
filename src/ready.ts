// / The health check of the image and of compose.yaml: exits with 0 if the server on this machine is ready.

import process from "node:process";

const port = process.env["PORT"] ?? "3000";
const isReady = await fetch(`http://127.0.0.1:${port}/readyz`).then(
  ({ ok }) => ok,
  () => false,
);
process.exit(isReady ? 0 : 1);
