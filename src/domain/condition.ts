/*
 * The condition of `onlyIf`, such as `{{label}} == 'spam' and not ({{score}} < 0.5)`. Nothing of it is run as
 * code. Reading it takes time in proportion to its text, and deciding it in proportion to the values.
 *
 *   any        = all { "or" all }
 *   all        = one { "and" one }
 *   one        = "not" one | "(" any ")" | value operator value
 *   value      = "{{" name "}}" | 'text' | "text" | number | true | false
 *   operator   = == | != | < | <= | > | >= | contains
 */

export const MOST_CONDITION_CHARACTERS = 2000;
const DEEPEST = 50;

/** The text is not a condition; `at` is the position of the first wrong character, from 1. */
export class ConditionError extends Error {
  override readonly name = "ConditionError";
  readonly at: number;

  constructor(message: string, index: number) {
    super(`at character ${index + 1}: ${message}`);
    this.at = index + 1;
  }
}

type Values = ReadonlyMap<string, string>;

export type Condition = {
  /** The names that its `{{name}}` placeholders ask for, each once. */
  names: readonly string[];
  /** Whether it holds for these values, which must contain all of its names. */
  isTrueOf(values: Values): boolean;
};

const OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "contains"] as const;
type Operator = (typeof OPERATORS)[number];

type Token =
  | { kind: "variable" | "text" | "number" | "boolean"; text: string; at: number }
  | { kind: "operator"; text: Operator; at: number }
  | { kind: "word"; text: "and" | "or" | "not"; at: number }
  | { kind: "bracket"; text: "(" | ")"; at: number }
  | { kind: "end"; text: ""; at: number };

type Operand = Token & { kind: "variable" | "text" | "number" | "boolean" };
type Test = (values: Values) => boolean;

/** Reads a condition. Throws `ConditionError` if it is not valid. */
export function parseCondition(text: string): Condition {
  if (text.length > MOST_CONDITION_CHARACTERS)
    throw new ConditionError(
      `it has ${text.length} characters; ${MOST_CONDITION_CHARACTERS} is the most`,
      MOST_CONDITION_CHARACTERS,
    );
  const tokens = tokensOf(text);
  const test = createParser(tokens).whole();
  const names = tokens.flatMap(({ kind, text: name }) => (kind === "variable" ? [name] : []));
  return { names: [...new Set(names)], isTrueOf: test };
}

/** Why a text is not a valid condition, or `null` if it is one. */
export function problemWithCondition(text: string): string | null {
  try {
    parseCondition(text);
    return null;
  } catch (error) {
    if (error instanceof ConditionError) return error.message;
    throw error;
  }
}

const BLANKS = /\s*/y;
const VARIABLE = /\{\{([^{}]+)\}\}/y;
const QUOTED = /'((?:[^'\\]|\\[^])*)'|"((?:[^"\\]|\\[^])*)"/y;
const NUMBER = /[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])/y;
const SIGN = /==|!=|<=|>=|<|>|[()]/y;
const WORD = /[A-Za-z_]\w*/y;

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  for (;;) {
    at += match(BLANKS)?.[0].length ?? 0;
    if (at >= text.length) return [...tokens, { kind: "end", text: "", at }];
    const [whole, token] = tokenAt(text, at, match);
    tokens.push(token);
    at += whole.length;
  }
}

function tokenAt(
  text: string,
  at: number,
  match: (pattern: RegExp) => RegExpExecArray | null,
): [whole: string, token: Token] {
  const variable = match(VARIABLE);
  if (variable) return [variable[0], { kind: "variable", text: (variable[1] ?? "").trim(), at }];
  const quoted = match(QUOTED);
  if (quoted) {
    const inside = (quoted[1] ?? quoted[2] ?? "").replace(/\\([^])/g, "$1");
    return [quoted[0], { kind: "text", text: inside, at }];
  }
  const number = match(NUMBER);
  if (number) return [number[0], { kind: "number", text: number[0], at }];
  const sign = match(SIGN)?.[0];
  if (sign === "(" || sign === ")") return [sign, { kind: "bracket", text: sign, at }];
  const word = sign ?? match(WORD)?.[0];
  if (word !== undefined) return [word, wordToken(word, at)];
  throw new ConditionError(whyNoToken(text, at), at);
}

function wordToken(whole: string, at: number): Token {
  const text = whole.toLowerCase();
  if (text === "and" || text === "or" || text === "not") return { kind: "word", text, at };
  if (text === "true" || text === "false") return { kind: "boolean", text, at };
  const operator = OPERATORS.find((one) => one === text);
  if (operator) return { kind: "operator", text: operator, at };
  throw new ConditionError(
    `${whole} means nothing here; a variable is written {{${whole}}}, a text '${whole}'`,
    at,
  );
}

function whyNoToken(text: string, at: number): string {
  const first = String.fromCodePoint(text.codePointAt(at) ?? 0);
  if (first === "'" || first === '"') return `the text that begins here has no ${first} at its end`;
  if (first === "{") return "a variable is written {{name}}";
  if (first === "=") return "to compare write ==";
  if (first === "&" || first === "|") return `write ${first === "&" ? "and" : "or"}`;
  if (first === "!") return "write != to compare, or not";
  return `${JSON.stringify(first)} is not known here`;
}

function createParser(tokens: readonly Token[]) {
  let next = 0;
  const end: Token = { kind: "end", text: "", at: 0 };
  const peek = (): Token => tokens[next] ?? end;
  const take = (): Token => tokens[next++] ?? end;

  function isNext(kind: Token["kind"], text: string): boolean {
    const token = peek();
    return token.kind === kind && token.text === text;
  }

  function listOf(word: "and" | "or", part: (depth: number) => Test, depth: number): Test {
    const first = part(depth);
    if (!isNext("word", word)) return first;
    const tests = [first];
    while (isNext("word", word)) {
      take();
      tests.push(part(depth));
    }
    return word === "or"
      ? (values) => tests.some((test) => test(values))
      : (values) => tests.every((test) => test(values));
  }

  const any = (depth: number): Test => listOf("or", all, depth);
  const all = (depth: number): Test => listOf("and", one, depth);

  function one(depth: number): Test {
    if (depth > DEEPEST)
      throw new ConditionError(
        `more than ${DEEPEST} brackets or nots are within each other`,
        peek().at,
      );
    if (isNext("word", "not")) {
      take();
      const test = one(depth + 1);
      return (values) => !test(values);
    }
    if (!isNext("bracket", "(")) return comparison();
    take();
    const test = any(depth + 1);
    if (!isNext("bracket", ")"))
      throw new ConditionError(`expected ), and, or or, ${found(peek())}`, peek().at);
    take();
    return test;
  }

  function comparison(): Test {
    const left = operand();
    const operator = take();
    if (operator.kind !== "operator")
      throw new ConditionError(`expected ${OPERATORS.join(" ")}, ${found(operator)}`, operator.at);
    return compare(left, operator.text, operand());
  }

  function operand(): Operand {
    const token = take();
    if (isOperand(token)) return token;
    throw new ConditionError(
      `expected a {{variable}}, a 'text' or a number, ${found(token)}`,
      token.at,
    );
  }

  return {
    whole(): Test {
      const test = any(0);
      const rest = peek();
      if (rest.kind !== "end")
        throw new ConditionError(`expected and, or, or the end, ${found(rest)}`, rest.at);
      return test;
    },
  };
}

function isOperand(token: Token): token is Operand {
  return ["variable", "text", "number", "boolean"].includes(token.kind);
}

function found({ kind, text }: Token): string {
  return kind === "end" ? "found the end" : `found ${text}`;
}

function compare(left: Operand, operator: Operator, right: Operand): Test {
  const isBoolean = left.kind === "boolean" || right.kind === "boolean";
  const isText = isBoolean || left.kind === "text" || right.kind === "text";
  const isNumber = left.kind === "number" || right.kind === "number";
  const isOrder = operator !== "==" && operator !== "!=" && operator !== "contains";
  if (isText && isNumber && isOrder)
    throw new ConditionError(
      `a text and a number have no order; ${operator} needs two of a kind`,
      right.at,
    );
  const as = isText || operator === "contains" ? "text" : isNumber ? "number" : "either";
  const toValue = isBoolean ? lowerCaseOf : valueOf;
  const [one, other] = [toValue(left), toValue(right)];
  return (values) => holds(one(values), operator, other(values), as);
}

function valueOf({ kind, text }: Operand): (values: Values) => string {
  return kind === "variable" ? (values) => values.get(text) ?? "" : () => text;
}

function lowerCaseOf(operand: Operand): (values: Values) => string {
  const value = valueOf(operand);
  return (values) => value(values).trim().toLowerCase();
}

/**
 * Values of rows are texts. Against `true` or `false` they are compared in any letter case, because spreadsheets write TRUE
 * in a CSV. Against a quoted text they are compared as texts. Against a number they are compared as
 * numbers; a value that is not a number is unequal to it, and neither less nor greater. Two variables are compared as
 * numbers if both look like numbers.
 */
function holds(
  one: string,
  operator: Operator,
  other: string,
  as: "text" | "number" | "either",
): boolean {
  if (operator === "contains") return one.includes(other);
  const order = as === "text" ? orderBetween(one, other) : orderOf(one, other, as);
  switch (operator) {
    case "==":
      return order === 0;
    case "!=":
      return order !== 0;
    case "<":
      return order < 0;
    case "<=":
      return order <= 0;
    case ">":
      return order > 0;
    case ">=":
      return order >= 0;
  }
}

const IS_NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/;
const IS_WHOLE = /^[+-]?\d{1,100}$/;

/** Less than, equal to or greater than 0; `NaN` if the two cannot be ordered. */
function orderOf(one: string, other: string, as: "number" | "either"): number {
  const [left, right] = [one.trim(), other.trim()];
  if (IS_NUMBER.test(left) && IS_NUMBER.test(right)) {
    if (!IS_WHOLE.test(left) || !IS_WHOLE.test(right))
      return orderBetween(Number(left), Number(right));
    // Digits beyond 2^53 count.
    return orderBetween(wholeOf(left), wholeOf(right));
  }
  return as === "number" ? NaN : orderBetween(one, other);
}

function wholeOf(text: string): bigint {
  return BigInt(text.startsWith("+") ? text.slice(1) : text);
}

function orderBetween<T extends string | number | bigint>(one: T, other: T): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
