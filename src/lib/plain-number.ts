/** A number without an exponent: `1e21` and `1e-7` are written with all their digits. */
export function plainNumber(number: number): string {
  const text = String(number);
  if (!text.includes("e")) return text;
  const [, sign = "", first = "", rest = "", exponent = "0"] =
    /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(text) ?? [];
  const places = Number(exponent);
  const digits = first + rest;
  return places < 0
    ? `${sign}0.${"0".repeat(-places - 1)}${digits}`
    : sign + digits.padEnd(places + 1, "0");
}
