import { Cron } from "croner";

export type Rhythm = "hourly" | "daily" | "weekdays" | "weekly" | "monthly" | "cron";

export const RHYTHMS = [
  ["hourly", "every hour"],
  ["daily", "every day"],
  ["weekdays", "every weekday (Monday to Friday)"],
  ["weekly", "every week"],
  ["monthly", "every month"],
  ["cron", "by a cron expression"],
] as const satisfies readonly (readonly [Rhythm, string])[];

export const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

export type When = { rhythm: Rhythm; time: string; day: string; date: string; cron: string };

/** The cron expression of what was chosen. */
export function expressionOf({ rhythm, time, day, date, cron }: When): string {
  const [hour = 9, minute = 0] = time.split(":").map(Number);
  switch (rhythm) {
    case "hourly":
      return `${minute} * * * *`;
    case "daily":
      return `${minute} ${hour} * * *`;
    case "weekdays":
      return `${minute} ${hour} * * 1-5`;
    case "weekly":
      return `${minute} ${hour} * * ${day}`;
    case "monthly":
      return `${minute} ${hour} ${date} * *`;
    default:
      return cron.trim();
  }
}

/** An expression as a sentence, if it is of a kind that people know; otherwise the expression. */
export function sentenceOf(expression: string): string {
  const [minute = "", hour = "", date = "", month = "", day = ""] = expression.trim().split(/\s+/);
  const isPlain = /^\d+$/.test(minute) && month === "*";
  const at = `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`;
  if (!isPlain || expression.trim().split(/\s+/).length !== 5) return `By ${expression}`;
  if (hour === "*" && date === "*" && day === "*") return `Every hour at minute ${minute}`;
  if (!/^\d+$/.test(hour)) return `By ${expression}`;
  if (date === "*" && day === "*") return `Every day at ${at}`;
  if (date === "*" && day === "1-5") return `Every weekday at ${at}`;
  if (date === "*" && /^[0-7]$/.test(day)) return `Every ${DAYS[Number(day) % 7]} at ${at}`;
  if (/^\d+$/.test(date) && day === "*") return `On day ${date} of every month at ${at}`;
  return `By ${expression}`;
}

/** The next five times, or what is wrong. */
export function nextTimes(
  expression: string,
  timezone: string,
): { times: string[]; error: string } {
  try {
    const job = new Cron(expression, { timezone, paused: true });
    return { times: job.nextRuns(5).map((time) => time.toISOString()), error: "" };
  } catch (error) {
    return { times: [], error: error instanceof Error ? error.message : String(error) };
  }
}

export const ownZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
