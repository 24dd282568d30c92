// Numbers, money and times, for people, in their time zone.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const cents = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const CLOCK = {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
} as const;
const clock = new Intl.DateTimeFormat("en", CLOCK);
/** With milliseconds, because events of a task may be within one second. */
const exact = new Intl.DateTimeFormat("en", { ...CLOCK, fractionalSecondDigits: 3 });

/** A number with all of its digits, such as the number of a row. */
export const exactly = (n: number): string => whole.format(n);

export const count = (n: number): string => (n < 1_000_000 ? whole.format(n) : short.format(n));

export function rate(perMinute: number): string {
  return perMinute < 10 ? String(Math.round(perMinute * 10) / 10) : count(perMinute);
}

export function money(usd: number | null | undefined): string {
  if (usd === null || usd === undefined) return "–";
  if (usd === 0) return "$0";
  return usd < 0.01 ? `$${usd.toPrecision(2)}` : `$${cents.format(usd)}`;
}

export function moneyRange(min: number, max: number): string {
  return money(min) === money(max) ? money(min) : `${money(min)} – ${money(max)}`;
}

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800
    ? `${Math.round(seconds / 3600)} h`
    : `${Math.round(seconds / 86_400)} d`;
}

/** Seconds between two times; `null` if one is missing. */
export function between(from: string | null | undefined, to: string | null | undefined) {
  return from && to ? (Date.parse(to) - Date.parse(from)) / 1000 : null;
}

export const time = (iso: string): string => clock.format(new Date(iso));
export const exactTime = (iso: string): string => exact.format(new Date(iso));

/** How long ago it was, or how long it will take. */
export function ago(iso: string, now: number): string {
  const seconds = (now - Date.parse(iso)) / 1000;
  if (Math.abs(seconds) < 2) return "now";
  return seconds > 0
    ? `${duration(Math.floor(seconds))} ago`
    : `in ${duration(Math.ceil(-seconds))}`;
}

export function bytes(n: number): string {
  if (n < 1000) return `${n} B`;
  return n < 1_000_000 ? `${(n / 1000).toFixed(1)} kB` : `${(n / 1_000_000).toFixed(1)} MB`;
}

export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${count(n)} ${n === 1 ? one : many}`;

/** A time for a `datetime-local` field: in the reader's time zone, to the minute. */
export function localTime(at: Date): string {
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
