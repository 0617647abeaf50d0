// The known differences between both evaluators, each recognised by the least case that shows it, and who is right.

const statements = ({ keyPolicy, identity, boundary, organization }) =>
  [keyPolicy, ...identity, boundary, organization].filter(Boolean).flatMap(({ Version, Statement }) => Statement.map((statement) => ({ Version, ...statement })));

const principals = (of) => of.keyPolicy.Statement.flatMap(({ Principal, NotPrincipal }) => Object.values(Principal ?? NotPrincipal).flat());

const conditions = (of) => statements(of).flatMap(({ Version, Condition }) => Object.entries(Condition ?? {}).flatMap(([operator, keys]) =>
  Object.entries(keys).map(([key, values]) => ({ Version, operator, key, values: [values].flat() }))));

export const differences = [
  {
    name: "the path of a role is left out",
    right: "we are",
    why: "A role is named by its ARN with the path, and a policy that names it without is about another role; the peer compares a session's role by its name.",
    is: ({ of }) => principals(of).some((text) => /:role\/writer$/.test(text)) && of.caller.principal.endsWith(":role/app/writer"),
  },
  {
    name: "a variable in a policy of the older version",
    right: "we are",
    why: "Policy variables need the version 2012-10-17; the peer fills them in for any.",
    is: ({ of }) => of.keyPolicy.Version !== "2012-10-17" && JSON.stringify(of.keyPolicy).includes("${"),
  },
  {
    name: "a variable in an ARN that is compared",
    right: "we are",
    why: "ARN operators take variables; the peer splits the ARN at the colon in the variable's name.",
    is: ({ of }) => conditions(of).some(({ operator, values }) => operator.includes("Arn") && values.some((value) => value.includes("${aws:"))),
  },
];
