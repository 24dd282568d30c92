// Numbers, money and times, for people, in their time zone.

// Without `Intl`: a page needs more than 30 ms of processor time to make its first formatter. The language is always English.

/** A number with all of its digits, such as the number of a row. */
export const exactly = (n: number): string => grouped(String(Math.round(n)));

export const count = (n: number): string => (n < 999_999.5 ? exactly(n) : short(n));

/** A number from a million on, such as 1.2M. */
function short(n: number): string {
  const unit = UNITS.find(({ from }) => n >= from * 0.99995) ?? MILLION;
  return `${grouped(String(Number((n / unit.from).toFixed(1))))}${unit.sign}`;
}

const MILLION = { from: 1e6, sign: "M" };
const UNITS = [{ from: 1e12, sign: "T" }, { from: 1e9, sign: "B" }, MILLION];

function grouped(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

export function rate(perMinute: number): string {
  return perMinute < 10 ? String(Math.round(perMinute * 10) / 10) : count(perMinute);
}

export function money(usd: number | null | undefined): string {
  if (usd === null || usd === undefined) return "–";
  if (usd === 0) return "$0";
  return usd < 0.01 ? `$${usd.toPrecision(2)}` : `$${cents(usd)}`;
}

function cents(usd: number): string {
  const [dollars = "", rest = ""] = usd.toFixed(2).split(".");
  return `${grouped(dollars)}.${rest}`;
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

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const twoDigits = (n: number): string => String(n).padStart(2, "0");

/** A day of the year: Jan 2. */
export const dayOf = (at: Date): string => `${MONTHS[at.getMonth()]} ${at.getDate()}`;

/** A time of the day: 09:05. */
export const minuteOf = (at: Date): string =>
  `${twoDigits(at.getHours())}:${twoDigits(at.getMinutes())}`;

const secondOf = (at: Date): string =>
  `${dayOf(at)}, ${minuteOf(at)}:${twoDigits(at.getSeconds())}`;

export const time = (iso: string): string => secondOf(new Date(iso));

/** With milliseconds, because events of a task may be within one second. */
export function exactTime(iso: string): string {
  const at = new Date(iso);
  return `${secondOf(at)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

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
