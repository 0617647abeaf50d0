// Cases from seeds: a call that Kinesis makes to KMS for a caller, and every policy that decides it. The same seed is always the same case.

const OWN = "111122223333";
const OTHER = "444455556666";
const THIRD = "777788889999";
const REGION = "us-east-1";
const STREAM = `arn:aws:kinesis:${REGION}:${OWN}:stream/orders`;
const KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab";
const CONTEXT_KEY = "kms:EncryptionContext:aws:kinesis:arn";

/** Numbers below 1, by mulberry32. */
function random(seed) {
  let state = (seed * 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

class Choice {
  constructor(seed) {
    this.next = random(seed);
    for (let skipped = 0; skipped < 4; skipped++) this.next();
  }
  chance(part) {
    return this.next() < part;
  }
  one(list) {
    return list[Math.floor(this.next() * list.length)];
  }
  /** One or several of a list, the same one at most once. */
  some(list, most = 3) {
    const count = 1 + Math.floor(this.next() * most);
    return [...new Set(Array.from({ length: count }, () => this.one(list)))];
  }
}

/** A value alone, or in a list. */
const oneOrMore = (choice, list) => {
  if (choice.chance(0.6)) return choice.one(list);
  return choice.some(list);
};

const role = (account, name) => `arn:aws:iam::${account}:role/${name}`;
const session = (account, name, called) => `arn:aws:sts::${account}:assumed-role/${name}/${called}`;

/** Who calls: how the program names them, and the one who makes the call as the peer knows them. */
function callers(choice, owner) {
  const kind = choice.one(["role", "role", "role", "role", "plain-role", "user", "service", "foreign", "session", "account"]);
  const account = kind === "foreign" ? (owner === OWN ? OTHER : OWN) : owner;
  const called = choice.one(["one", "two"]);
  const is = (principal, peer, arn = peer) => ({ kind, account, principal, peer, arn });
  switch (kind) {
    case "role":
      return is(role(account, "app/writer"), session(account, "writer", called), role(account, "app/writer"));
    case "plain-role":
      return is(role(account, "reader"), session(account, "reader", called), role(account, "reader"));
    case "user":
      return is(`arn:aws:iam::${account}:user/jo`, `arn:aws:iam::${account}:user/jo`);
    case "service":
      return { ...is("logs.amazonaws.com", "logs.amazonaws.com", null), account: null };
    case "foreign":
      return is(role(account, "app/writer"), session(account, "writer", called), role(account, "app/writer"));
    case "session":
      return is(session(account, "writer", called), session(account, "writer", called), role(account, "app/writer"));
    default:
      return is(account, session(account, "writer", called), role(account, "app/writer"));
  }
}

const named = (owner) => [
  `arn:aws:iam::${owner}:root`, `arn:aws:iam::${owner}:root`, owner,
  role(owner, "app/writer"), role(owner, "app/writer"), role(owner, "writer"), role(owner, "reader"), role(owner, "app/other"),
  session(owner, "writer", "one"), `arn:aws:iam::${owner}:user/jo`, `arn:aws:iam::${owner}:user/sam`,
  "AROAEXAMPLEID1234567", OTHER, `arn:aws:iam::${OTHER}:root`, role(OTHER, "app/writer"), role(OWN, "app/writer"), THIRD,
];

function principals(choice, owner) {
  const kind = choice.next();
  if (kind < 0.12) return "*";
  if (kind < 0.2) return { AWS: "*" };
  if (kind < 0.28) return { Service: oneOrMore(choice, ["logs.amazonaws.com", "kinesis.amazonaws.com"]) };
  if (kind < 0.33) return { AWS: choice.one(named(owner)), Service: choice.one(["logs.amazonaws.com", "events.amazonaws.com"]) };
  return { AWS: oneOrMore(choice, named(owner)) };
}

const ACTIONS = [
  "kms:*", "*", "kms:Decrypt", "kms:GenerateDataKey", "kms:GenerateDataKey*", "KMS:decrypt", "kms:?ecrypt", "kms:*crypt*", "kms:Encrypt", "kms:Describe*",
  "kinesis:*",
];

/** Condition keys with values for and against; `unknown` are those of which only the caller's request says whether it has them. */
const KEYS = (owner) => [
  { name: "kms:ViaService", values: [`kinesis.${REGION}.amazonaws.com`, "s3.us-east-1.amazonaws.com", "kinesis.*.amazonaws.com", "kinesis.eu-west-1.amazonaws.com"] },
  { name: CONTEXT_KEY, arn: true, values: [STREAM, `arn:aws:kinesis:*:${OWN}:stream/ord*`, `arn:aws:kinesis:${REGION}:${OWN}:stream/clicks`, "arn:aws:kinesis:*:${aws:PrincipalAccount}:stream/*"] },
  { name: "kms:EncryptionContextKeys", many: true, values: ["aws:kinesis:arn", "aws:kinesis:*", "department"] },
  { name: "kms:EncryptionContext:department", values: ["orders", "*"] },
  { name: "kms:CallerAccount", values: [OWN, OTHER, "${aws:PrincipalAccount}", "1111*"] },
  { name: "aws:PrincipalAccount", values: [OWN, OTHER, "????????????"] },
  { name: "aws:PrincipalArn", arn: true, values: [role(owner, "app/writer"), role(owner, "app/*"), role(owner, "*"), role("*", "reader"), `arn:aws:iam::${owner}:user/*`, role("${aws:PrincipalAccount}", "app/writer"), session(owner, "writer", "*")] },
  { name: "aws:RequestedRegion", values: [REGION, "eu-west-1", "us-*"] },
  { name: "aws:SecureTransport", bool: true, values: ["true", "false"] },
  { name: "aws:PrincipalOrgID", unknown: true, values: ["o-abcdefghij", "o-klmnopqrst", "o-*"] },
  { name: "aws:PrincipalTag/team", unknown: true, values: ["orders", "clicks", "${aws:PrincipalTag/cost}"] },
  { name: "aws:SourceVpce", unknown: true, values: ["vpce-1a2b3c4d", "vpce-2b3c4d5e"] },
  { name: "aws:ViaAWSService", unknown: true, bool: true, values: ["true", "false"] },
  { name: "aws:SourceIp", unknown: true, ip: true, values: ["192.0.2.0/24", "203.0.113.7/32"] },
  { name: "aws:CurrentTime", unknown: true, date: true, values: ["2026-11-24T00:00:00Z", "2030-01-01T00:00:00Z"] },
  { name: "kms:ResourceAliases", unknown: true, many: true, values: ["alias/streams", "alias/*"] },
];

function operators(choice, key) {
  if (choice.chance(0.12)) return ["Null", [choice.one(["true", "false"])]];
  let base;
  if (key.bool) base = choice.one(["Bool", "Bool", "StringEquals"]);
  else if (key.ip) base = choice.one(["IpAddress", "NotIpAddress"]);
  else if (key.date) base = choice.one(["DateLessThan", "DateGreaterThanEquals"]);
  else if (key.arn) base = choice.one(["ArnLike", "ArnEquals", "ArnNotLike", "ArnNotEquals", "StringLike", "StringEquals", "StringNotLike", "StringNotEquals"]);
  else base = choice.one(["StringEquals", "StringEquals", "StringLike", "StringNotEquals", "StringNotLike", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"]);
  if (choice.chance(0.15)) base = `${base}IfExists`;
  if (key.many ? choice.chance(0.8) : choice.chance(0.08)) base = `${choice.one(["ForAnyValue", "ForAllValues"])}:${base}`;
  return [base, null];
}

function conditions(choice, owner) {
  const block = {};
  const count = choice.one([0, 0, 1, 1, 1, 2]);
  for (let index = 0; index < count; index++) {
    const key = choice.one(KEYS(owner));
    const [operator, values] = operators(choice, key);
    const name = choice.chance(0.1) ? key.name.toLowerCase() : key.name;
    block[operator] = { ...block[operator], [name]: values ? values[0] : oneOrMore(choice, key.values) };
  }
  return Object.keys(block).length > 0 ? block : undefined;
}

function about(choice, owner, key) {
  const statement = {};
  if (choice.chance(0.1)) statement.NotAction = oneOrMore(choice, ACTIONS);
  else statement.Action = oneOrMore(choice, choice.chance(0.5) ? ACTIONS.slice(0, 6) : ACTIONS);
  const resources = [
    key, `arn:aws:kms:${REGION}:${owner}:key/*`, `arn:aws:kms:*:*:key/${KEY_ID}`, `arn:aws:kms:*:${owner}:key/????abcd-*`,
    `arn:aws:kms:${REGION}:\${aws:PrincipalAccount}:key/*`, `arn:aws:kms:*:*:key/\${aws:PrincipalTag/team}*`, `arn:aws:kms:${REGION}:${owner}:key/another`, `arn:aws:kms:${REGION}:${owner}:alias/streams`,
  ];
  if (choice.chance(0.05)) statement.NotResource = oneOrMore(choice, resources);
  else statement.Resource = choice.chance(0.7) ? "*" : oneOrMore(choice, resources);
  const condition = conditions(choice, owner);
  if (condition) statement.Condition = condition;
  return statement;
}

const effect = (choice, denies) => (choice.chance(denies) ? "Deny" : "Allow");

function keyPolicy(choice, owner, key) {
  const statements = [];
  // Most key policies delegate to their account.
  if (choice.chance(0.4)) statements.push({ Effect: "Allow", Principal: { AWS: `arn:aws:iam::${owner}:root` }, Action: "kms:*", Resource: "*" });
  const count = choice.one([0, 1, 1, 2, 2, 3]);
  for (let index = 0; index < count; index++) {
    const who = choice.chance(0.07) ? "NotPrincipal" : "Principal";
    statements.push({ Effect: effect(choice, 0.3), [who]: principals(choice, owner), ...about(choice, owner, key) });
  }
  // Without one, the peer takes the key to have no policy.
  if (statements.length === 0) statements.push({ Effect: "Allow", Principal: { AWS: role(owner, "admin") }, Action: "kms:*", Resource: "*" });
  return { Version: choice.chance(0.9) ? "2012-10-17" : "2008-10-17", Statement: statements };
}

function identityPolicies(choice, owner, key) {
  const count = choice.one([0, 1, 1, 1, 2]);
  const policies = [];
  for (let index = 0; index < count; index++) {
    const statement = choice.chance(0.4)
      ? { Effect: "Allow", Action: ["kms:Decrypt", "kms:GenerateDataKey"], Resource: "*" }
      : { Effect: effect(choice, 0.2), ...about(choice, owner, key) };
    policies.push({ Version: "2012-10-17", Statement: [statement] });
  }
  return policies;
}

const limiting = (choice, owner, key) => {
  if (!choice.chance(0.12)) return null;
  const statements = [{ Effect: "Allow", Action: choice.one(["*", "kms:*", "kms:Decrypt", "kinesis:*"]), Resource: "*" }];
  if (choice.chance(0.4)) statements.push({ Effect: "Deny", ...about(choice, owner, key) });
  return { Version: "2012-10-17", Statement: statements };
};

/** What a request may have of the keys that only the caller knows: a few whole requests. */
function worlds(choice) {
  const values = {
    "aws:PrincipalOrgID": ["o-abcdefghij", "o-klmnopqrst"],
    "aws:PrincipalTag/team": ["orders", "clicks"],
    "aws:PrincipalTag/cost": ["orders", "none"],
    "aws:SourceVpce": ["vpce-1a2b3c4d", "vpce-3c4d5e6f"],
    "aws:ViaAWSService": ["true", "false"],
    "aws:SourceIp": ["192.0.2.1", "198.51.100.1"],
    "aws:CurrentTime": ["2026-11-20T00:00:00Z", "2027-01-01T00:00:00Z", "2031-01-01T00:00:00Z"],
    "kms:ResourceAliases": [["alias/streams"], ["other"], ["alias/streams", "other"]],
  };
  const world = (present) => Object.fromEntries(
    Object.entries(values).filter(() => choice.chance(present)).map(([name, list]) => [name, choice.one(list)]),
  );
  return [world(0), world(1), world(1), world(1), world(0.5), world(0.5)];
}

/** The case of a seed. */
export function generated(seed) {
  const choice = new Choice(seed);
  const owner = choice.chance(0.85) ? OWN : OTHER;
  const key = `arn:aws:kms:${REGION}:${owner}:key/${KEY_ID}`;
  const caller = callers(choice, owner);
  const ofCaller = caller.account ?? owner;
  return {
    seed,
    owner,
    key,
    caller,
    stream: STREAM,
    action: choice.one(["kms:Decrypt", "kms:GenerateDataKey"]),
    keyPolicy: keyPolicy(choice, owner, key),
    identity: caller.account ? identityPolicies(choice, ofCaller, key) : [],
    boundary: caller.account ? limiting(choice, ofCaller, key) : null,
    organization: caller.account ? limiting(choice, ofCaller, key) : null,
    worlds: worlds(choice),
  };
}

/** The context of the call that is certain. */
export function certain({ caller, stream }) {
  const of = caller.account ? { "kms:CallerAccount": caller.account, "aws:PrincipalAccount": caller.account, "aws:PrincipalArn": caller.arn } : {};
  return {
    "kms:ViaService": `kinesis.${REGION}.amazonaws.com`,
    [CONTEXT_KEY]: stream,
    "kms:EncryptionContextKeys": ["aws:kinesis:arn"],
    "aws:RequestedRegion": REGION,
    "aws:SecureTransport": "true",
    ...of,
  };
}
