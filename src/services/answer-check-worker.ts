/// The entry of the worker thread that checks answers by their schemas. It does nothing else.

import { createAnswerCheck, type ToCheck } from "../domain/answer-check.ts";

const check = createAnswerCheck();
addEventListener("message", ({ data }: MessageEvent<ToCheck>) => postMessage(check(data)));
