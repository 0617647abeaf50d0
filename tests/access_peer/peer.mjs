// The other evaluator, asked about a case: whether a request is allowed, and what IAM's simulation would say of the caller's own policies.
import { createRequire } from "node:module";
import path from "node:path";
import { certain } from "./generate.mjs";

// Its parts, not `runSimulation`: that leaves out condition keys that end in a name of the caller's, such as `kms:EncryptionContext:aws:kinesis:arn`.
const require = createRequire(path.join(process.env.ACCESS_TOOLS, "package.json"));
const part = (file) => require(path.join(process.env.ACCESS_TOOLS, "node_modules/@cloud-copilot/iam-simulate/dist/cjs", file));
const { authorize } = part("core_engine/CoreSimulatorEngine.js");
const { AwsRequestImpl } = part("request/request.js");
const { RequestContextImpl } = part("requestContext.js");
const { DiscoveryContextKeyConstraints } = part("context_keys/discoveryContextKeyConstraints.js");
const { loadPolicy } = require("@cloud-copilot/iam-policy");

const everything = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }] };
const loaded = (policies) => policies.map((policy, index) => loadPolicy(policy, { name: `policy-${index}` }));

function decision(principal, { action, key }, account, context, { keyPolicy, identity, boundary, organization }) {
  const { result } = authorize({
    request: new AwsRequestImpl(principal, { resource: key, accountId: account }, action, new RequestContextImpl(context)),
    sessionPolicy: undefined,
    identityPolicies: loaded(identity),
    serviceControlPolicies: organization ? [{ orgIdentifier: "o-abcdefghij", policies: loaded([organization]) }] : [],
    resourceControlPolicies: [],
    resourcePolicy: loadPolicy(keyPolicy, { name: "key-policy" }),
    permissionBoundaries: boundary ? loaded([boundary]) : undefined,
    vpcEndpointPolicies: undefined,
    simulationParameters: { simulationMode: "Strict", discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([]) },
    serviceSettings: { s3: {} },
  });
  return result;
}

/** For each request that may be meant: the decision. */
export function decisions(of) {
  const { caller, owner, keyPolicy, identity, boundary, organization, worlds } = of;
  const own = { keyPolicy, identity, boundary, organization };
  // Of a whole account, and of another account, nobody sees what is allowed to whom: both extremes are meant.
  const policies = of.seesIdentity ? [own] : [own, { ...own, identity: [everything], boundary: null, organization: null }, { ...own, identity: [] }];
  const found = [];
  for (const unknown of worlds) {
    for (const given of policies) found.push(decision(caller.peer, of, owner, { ...certain(of), ...unknown }, given));
  }
  return found;
}

/** The keys that policies ask for, in conditions and as variables. */
function asked(policies) {
  const keys = policies.flatMap((policy) => policy.Statement.flatMap(({ Condition }) => Object.values(Condition ?? {}).flatMap((of) => Object.keys(of))));
  const variables = [...JSON.stringify(policies).matchAll(/\$\{([^}]+)\}/g)].map(([, name]) => name);
  return [...new Set([...keys, ...variables])];
}

/** What `iam:SimulatePrincipalPolicy` would answer to this context; it does not know the key policy. */
export function simulation(of, context) {
  const { caller, identity, boundary, organization } = of;
  const sent = Object.fromEntries(context.map(([name, kind, value]) => [name, kind.endsWith("List") ? [value] : value]));
  const root = { Effect: "Allow", Principal: { AWS: `arn:aws:iam::${caller.account}:root` }, Action: "*", Resource: "*" };
  const keyPolicy = { Version: "2012-10-17", Statement: [root] };
  const run = (limits) => decision(caller.arn, of, caller.account, sent, { keyPolicy, ...limits });
  const alone = { identity: [everything], boundary: null, organization: null };
  const known = new Set(Object.keys(sent).map((key) => key.toLowerCase()));
  const policies = [...identity, boundary, organization].filter(Boolean);
  return {
    decision: { Allowed: "allowed", ExplicitlyDenied: "explicitDeny", ImplicitlyDenied: "implicitDeny" }[run({ identity, boundary, organization })],
    missing: asked(policies).filter((key) => !known.has(key.toLowerCase())),
    allowedByOrganization: organization ? run({ ...alone, organization }) === "Allowed" : null,
    allowedByBoundary: boundary ? run({ ...alone, boundary }) === "Allowed" : null,
  };
}
