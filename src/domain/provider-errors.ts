import type { Cause } from "./failure.ts";

/** The facts that a row of the table is compared with. All conditions of a row must hold. */
export type ErrorFacts = {
  status: number | null;
  codes: readonly string[];
  message: string;
  /** The name of the host that was called, if known. */
  host?: string | undefined;
};

type Row = {
  /** The server that uses these words; `any` if many do. */
  server: string;
  cause: Cause;
  /** `null`: an error without one, as in a stream. */
  status?: readonly (number | null)[];
  /** The name of the host, for codes that mean something else at other servers. */
  host?: RegExp;
  /** One of the error's codes, types or reasons, in lower case. */
  code?: RegExp;
  words?: RegExp;
  /** Words that exclude a match. */
  unless?: RegExp;
};

/*
 * What an error of a provider means, after their documentation and what users reported of them. The
 * first row that fits counts, so that what is said by code or words comes before the bare status.
 *
 *   terminal   `rejected`, `context_length`, `content_filter`, `not_found`, …: the request is at fault
 *   paused     `quota_exhausted`, `unauthorized`: every further call would meet the same
 *   waiting    `rate_limited`, `overloaded`: nobody's fault, counts as no attempt
 *   retryable  `server_error`, `timeout`, …: another attempt may help
 */
export const ERROR_TABLE: readonly Row[] = [
  // A request that is larger than a model's context, or than the limit of a whole minute.
  { server: "OpenAI", cause: "context_length", status: [429], words: /^request too large/i },
  { server: "Groq", cause: "context_length", status: [413], words: /request too large/i },
  { server: "Anthropic", cause: "context_length", status: [413] },
  {
    server: "any",
    cause: "context_length",
    code: /context_length|context_window|exceed_context_size|max_prompt_tokens_exceeded|string_above_max_length|contextwindowexceeded/,
  },
  {
    server: "any",
    cause: "context_length",
    words:
      /maximum context length|context (size|window|length|limit)|contextwindowexceeded|exceeds max(imum)? length|prompt is too long|input is too long|prompt too long|exceeds? the (model'?s )?(maximum|max).{0,40}tokens|input token count.{0,60}exceeds|range of input length|reduce the length of|too large for (the )?model|`inputs` tokens|max_model_len|maximum allowed number of input tokens|context the overflows|context overflow|maximum prompt length|exceeded model token limit|tokens in the prompt cannot exceed|max_tokens must be at least 1, got -\d|context shift is disabled|input is too large to process/i,
    unless: /too many requests|rate limit|per min/i,
  },
  {
    server: "OpenAI",
    cause: "truncated",
    words: /could not finish the message because max_tokens or model output limit/i,
  },

  // The account has no money. Rate limits in the same words come with a time to wait, or name a minute.
  {
    server: "Google",
    cause: "rate_limited",
    status: [429],
    code: /perminute|persecond/,
  },
  { server: "Google", cause: "quota_exhausted", status: [429], code: /perday/ },
  // Its limits of a minute have the code of OpenAI for used-up money.
  {
    server: "DashScope",
    cause: "rate_limited",
    words: /error-code#(token|rate)-limit|^allocated quota exceeded/i,
  },
  {
    server: "DashScope",
    cause: "rate_limited",
    host: /(^|\.)(dashscope[\w-]*\.aliyuncs\.com|maas\.aliyuncs\.com)$/,
    code: /^insufficient_quota$/,
  },
  { server: "Google", cause: "quota_exhausted", status: [429], words: /quota.*limit: 0\b/is },
  {
    server: "OpenAI",
    cause: "quota_exhausted",
    code: /^insufficient_(\w+_)?quota$|^(billing_hard_limit_reached|billing_not_active|account_deactivated)$/,
  },
  {
    server: "Moonshot",
    cause: "quota_exhausted",
    code: /exceeded_current_quota|insufficient_balance/,
  },
  { server: "Anthropic", cause: "quota_exhausted", code: /^billing_error$/ },
  { server: "Zhipu", cause: "quota_exhausted", code: /^(1112|1113|1304|1308|1309|1310)$/ },
  { server: "MiniMax", cause: "quota_exhausted", code: /^1008$/ },
  {
    server: "DashScope",
    cause: "quota_exhausted",
    code: /arrearage|allocationquota\.freetieronly|billoverdue$|^commoditynotpurchased$/,
  },
  {
    server: "DashScope",
    cause: "quota_exhausted",
    words: /^free allocated quota exceeded/i,
  },
  {
    server: "Volcengine",
    cause: "quota_exhausted",
    code: /accountoverdue|quotaexceeded|^setlimitexceeded$/,
  },
  { server: "SiliconFlow", cause: "quota_exhausted", status: [403], code: /^30001$/ },
  { server: "LiteLLM", cause: "quota_exhausted", code: /^budget_exceeded$/ },
  { server: "Together", cause: "quota_exhausted", code: /^credit_limit$/ },
  { server: "Groq", cause: "quota_exhausted", code: /^blocked_api_access$/ },
  { server: "Cohere", cause: "quota_exhausted", words: /limited to \d+ api calls ?\/ ?month/i },
  {
    server: "OpenRouter, Cloudflare",
    cause: "quota_exhausted",
    words: /free-models-per-day|used up your daily free allocation/i,
  },
  {
    server: "AWS API Gateway",
    cause: "quota_exhausted",
    status: [429],
    words: /^limit exceeded$/i,
  },
  { server: "Mistral", cause: "quota_exhausted", words: /inactive subscription/i },
  { server: "any", cause: "quota_exhausted", status: [402] },
  {
    server: "any",
    cause: "quota_exhausted",
    words:
      /credit balance is too low|insufficient (account )?(balance|credits?|funds)|(out of|no|not enough|used all|run out of|n[o']t have any).{0,30}credits?\b|exceeded your monthly (included )?credits|(have|has) reached (your|its|their) .{0,30}(usage limits?|spend limit|quota)|budget has been exceeded|exceeded (your|their|its) budget|key limit exceeded|\busage limit (exceeded|reached)|balance.{0,20}(insufficient|not enough|too low)|spend(ing)? (limit|cap)|please recharge|account.{0,30}(overdue|arrears|suspended)|billing (hard )?limit|余额不足|额度(不足|已用尽)|欠费/i,
  },

  // The API key is refused.
  {
    server: "Google",
    cause: "unauthorized",
    code: /^(api_key_invalid|service_disabled|consumer_suspended|consumer_invalid|api_key_service_blocked)$/,
  },
  { server: "Groq", cause: "unauthorized", code: /^organization_restricted$/ },
  {
    server: "LiteLLM",
    cause: "unauthorized",
    code: /^(auth_error|token_not_found_in_db|expired_key)$/,
  },
  {
    server: "AWS",
    cause: "unauthorized",
    code: /^(expiredtoken(exception)?|unrecognizedclientexception|invalidsignatureexception)$/,
  },
  // A path that the gateway does not have.
  {
    server: "AWS API Gateway",
    cause: "not_found",
    status: [403],
    words: /^missing authentication token$/i,
  },
  { server: "MiniMax", cause: "unauthorized", code: /^(1004|2049)$/ },
  { server: "DashScope", cause: "unauthorized", code: /invalidapikey|invalid_api_key/ },
  {
    server: "any",
    cause: "unauthorized",
    code: /^(invalid_api_key|authentication_error|unauthenticated|invalid_authentication_error|invalid_token)$/,
  },
  {
    server: "any",
    cause: "unauthorized",
    words:
      /(api[ _-]?key|access token|subscription key).{0,30}(not valid|invalid|incorrect|expired|revoked|disabled|missing|required|leaked|suspended)|(organization|account|project) has been (disabled|restricted|deactivated)|security token .{0,40}(expired|invalid)|sufficient permissions|missing scopes|(incorrect|invalid|expired|revoked|missing|no) (or missing )?(api[ _-]?key|access token|subscription key)|no auth credentials/i,
  },
  { server: "any", cause: "unauthorized", status: [401] },

  // Content filters.
  {
    server: "any",
    cause: "content_filter",
    code: /content_filter|content_policy|moderation_blocked|responsibleaipolicyviolation|datainspectionfailed|data_inspection_failed|safety_check|^hooks_failed$/,
  },
  { server: "Zhipu", cause: "content_filter", code: /^1301$/ },
  { server: "MiniMax", cause: "content_filter", code: /^(1026|1027)$/ },
  {
    server: "any",
    cause: "content_filter",
    words:
      /content exists risk|content filter(ing)? policy|safety system|violat\w{1,10} (our )?(usage|content) (policy|guidelines)|requires moderation|(input|prompt|request) was flagged|considered high risk|inappropriate content|content ?policy ?violation|guardrail (checks?|policy|intervened)|blocked (input|output)|blocked due to security configurations/i,
  },

  // The provider is overloaded, which does not depend on how many calls this program makes.
  { server: "Groq", cause: "overloaded", status: [498] },
  { server: "Anthropic", cause: "overloaded", status: [529] },
  {
    server: "any",
    cause: "overloaded",
    code: /overloaded|capacity|no_capacity|^slow_down$|nocapacity|server_busy|model_loading|unavailable_error|resource_unavailable|queue_exceeded|modelnotready/,
  },
  {
    server: "any",
    cause: "overloaded",
    status: [429, 500, 503],
    words:
      /overloaded|at (full |max(imum)? )?capacity|capacity (is |temporarily )?(exceeded|exhausted|constraints)|no capacity|insufficient capacity|(model|server|service)\b.{0,80} is (currently |still |too )*(busy|loading|warming up)|server busy|maximum pending requests|loading model|high (demand|traffic)|no instances? available|resource unavailable|not ready for inference|访问量过大/i,
  },

  // Its operator may load one, or it does so itself.
  {
    server: "LM Studio",
    cause: "overloaded",
    words: /^no models? (is |are )?(currently )?loaded\b/i,
  },

  // Rate limits, whatever the status.
  { server: "Zhipu", cause: "rate_limited", code: /^(1302|1303|1305)$/ },
  { server: "MiniMax", cause: "rate_limited", code: /^(1002|1039)$/ },
  {
    server: "Bedrock, DashScope",
    cause: "rate_limited",
    code: /^(throttling|throttlingexception|throttling\.\w+|limit_?requests|limit_burst_rate)$/,
  },
  {
    server: "Azure API Management",
    cause: "rate_limited",
    status: [403],
    words: /quota will be replenished/i,
  },
  { server: "any", cause: "rate_limited", code: /^(rate_limit_exceeded|rate_limit_error)$/ },
  {
    server: "any",
    cause: "rate_limited",
    status: [null, 400, 500, 503],
    words:
      /throttlingexception|too many requests|rate limit(ed| (is |was )?(exceeded|reached))|qps .{0,20}limit/i,
  },
  { server: "any", cause: "rate_limited", status: [429] },

  // The server could not use the model's output. Another attempt may give a better one.
  {
    server: "Groq",
    cause: "bad_response",
    code: /^(json_validate_failed|tool_use_failed|output_parse_failed)$/,
  },
  {
    server: "LM Studio",
    cause: "server_error",
    words: /model has crashed|model unloaded|^(channel error|operation canceled\.?)$/i,
  },
  { server: "Bedrock", cause: "server_error", status: [424] },
  { server: "llama.cpp", cause: "rejected", status: [501] },
  { server: "nginx, Google", cause: "connection_lost", status: [499] },

  // Code 2005 of Cloudflare's gateway comes with status 400, although the request is not at fault.
  { server: "Cloudflare", cause: "server_error", words: /failed to get response from provider/i },

  {
    server: "any",
    cause: "not_found",
    code: /model_not_(found|supported|available|exist)|deploymentnotfound|unknown_model|model_decommissioned|^invalid_model$/,
  },
  { server: "Zhipu", cause: "not_found", code: /^1211$/ },
  {
    server: "any",
    cause: "not_found",
    status: [null, 400, 410],
    words:
      /^model (does )?not exist|no such model|not a valid model id|^invalid model\b|invalid model name|model .{0,80} (does not exist|not found|has been (decommissioned|deprecated|removed))|模型不存在/i,
  },
  { server: "LM Studio", cause: "not_found", words: /unexpected endpoint/i },

  { server: "any", cause: "timeout", status: [408, 524] },
  { server: "any", cause: "forbidden", status: [403] },
  { server: "any", cause: "not_found", status: [404, 405, 410] },
  { server: "any", cause: "conflict", status: [409, 425] },
];

/** The row of the table that an error matches. */
export function rowOf(facts: ErrorFacts): Row | undefined {
  return ERROR_TABLE.find((one) => fits(one, facts));
}

/** The cause of an error. An error without a status that matches no row counts as a fault of the server. */
export function causeOf(facts: ErrorFacts): Cause {
  const row = rowOf(facts);
  if (row) return row.cause;
  return facts.status === null || facts.status >= 500 ? "server_error" : "rejected";
}

function fits({ host, status, code, words, unless }: Row, facts: ErrorFacts): boolean {
  if (host && !host.test(facts.host ?? "")) return false;
  if (status && !status.includes(facts.status)) return false;
  if (code && !facts.codes.some((one) => code.test(one))) return false;
  if (words && !words.test(facts.message)) return false;
  return !unless?.test(facts.message);
}
